// The market's governance: proposals of every fate, told forward block by block.

import { id as keccakText, parseEther, toBeHex, toUtf8Bytes, hexlify } from "ethers";
import { nft } from "./books.js";

const AGAINST = 0, FOR = 1, ABSTAIN = 2;
const STATES = ["pending", "active", "canceled", "defeated", "succeeded", "queued", "expired", "executed"];

export class Council {
  constructor(market) {
    this.market = market;
    this.chain = market.chain;
    this.random = market.random;
    this.voters = market.traders.slice(0, 30);
    /** What happens when the chain has reached a block. */
    this.agenda = [];
  }

  /** Plans every proposal; `first` is the block of the first one. */
  async convene(first) {
    const { votes, relics, meadow, governor, timelock, traders, founder, random } = this.market;
    const lot = nft(meadow, this.market.minted.get(meadow));
    await this.market.mintOneTo(timelock.address);
    const call = (contract, method, args) => ({ target: contract.address, data: contract.abi.encodeFunctionData(method, args) });
    const grant = (to, amount) => call(votes, "transfer", [to, parseEther(amount)]);
    const winner = traders[7].address;
    const editions = [[31, 32], [40, 60]];
    const stories = [
      { text: "Grant 1,200 VOTE to the curators", actions: [grant(traders[3].address, "1200")], turnout: [22, 80], fate: "executed" },
      { text: "Spend the whole treasury on fireworks", actions: [grant(founder.address, "40000")], turnout: [24, 15], fate: "defeated" },
      {
        text: "Give the council's Meadow token to the winner of the raffle",
        actions: [call(meadow, "transferFrom", [timelock.address, winner, lot.id])],
        turnout: [20, 90],
        fate: "executed",
        then: () => this.market.books.move(lot, timelock.address, winner.toLowerCase()),
      },
      { text: "A proposal nobody reads", actions: [grant(traders[9].address, "1")], turnout: [2, 100], fate: "defeated" },
      { text: "Withdrawn on second thought", actions: [grant(traders[5].address, "77")], turnout: [0, 0], fate: "canceled" },
      {
        text: "Shorten the voting period and thank the voters with relics",
        actions: [
          call(governor, "setVotingPeriod", [40]),
          call(relics, "mintBatch", [traders[0].address, ...editions, "0x"]),
        ],
        turnout: [26, 85],
        fate: "executed",
        then: () => editions[0].forEach((id, at) => this.market.books.move(nft(relics, id, editions[1][at]), null, traders[0].address.toLowerCase())),
      },
    ];
    stories.forEach((story, at) => this.#on(first + at * 70 + random.below(20), () => this.#propose(story)));
  }

  #on(block, act) {
    this.agenda.push({ block, act });
  }

  /** Does what is due; called between the market's actions. */
  async attend() {
    const due = this.agenda.filter(({ block }) => block <= this.chain.number);
    this.agenda = this.agenda.filter(({ block }) => block > this.chain.number);
    for (const { act } of due) await act();
  }

  #send(from, method, args, gas = 900_000) {
    const { governor } = this.market;
    const data = governor.abi.encodeFunctionData(method, args);
    return this.chain.send(from, { to: governor.address, data, gas });
  }

  async #propose(story) {
    const { governor, books } = this.market;
    const proposer = this.random.pick(this.voters);
    // A proposer needs votes of his own.
    const power = await this.chain.read(this.market.votes, "getVotes", proposer.address);
    if (power < parseEther("1")) return this.#propose(story);
    const actions = [story.actions.map((one) => one.target), story.actions.map(() => 0n), story.actions.map((one) => one.data)];
    const sent = await this.#send(proposer, "propose", [...actions, story.text], 1_500_000);
    const finished = [...actions, keccakText(story.text)];
    const id = await this.chain.read(governor, "hashProposal", ...finished);
    books.proposals.push({ sent, id, proposer: proposer.address, text: story.text, fate: story.fate });
    await this.chain.mine();
    const begun = this.chain.number;
    if (story.fate === "canceled") {
      this.#on(begun + 2, () => this.#send(proposer, "cancel", finished));
      return;
    }
    const period = Number(await this.chain.read(governor, "votingPeriod"));
    const [count, favour] = story.turnout;
    for (const voter of this.voters.slice(0, count)) {
      this.#on(begun + 6 + this.random.below(period - 8), () => this.#vote(voter, id, favour));
    }
    if (story.fate !== "executed") return;
    this.#on(begun + period + 8, () => this.#send(this.random.pick(this.voters), "queue", finished));
    this.#on(begun + period + 25, async () => {
      await this.#send(this.random.pick(this.voters), "execute", finished, 1_500_000);
      story.then?.();
    });
  }

  async #vote(voter, id, favour) {
    const support = this.random.chance(favour) ? FOR : this.random.chance(70) ? AGAINST : ABSTAIN;
    const manner = this.random.below(10);
    if (manner < 6) await this.#send(voter, "castVote", [id, support]);
    else if (manner < 9) await this.#send(voter, "castVoteWithReason", [id, support, `because ${support === FOR ? "it is time" : "it is not time"}`]);
    else {
      const params = hexlify(toUtf8Bytes("second thoughts"));
      await this.#send(voter, "castVoteWithReasonAndParams", [id, support, "with a note", params]);
    }
  }

  /** What the governor itself says of every proposal. */
  async outcome() {
    const { governor, books } = this.market;
    const told = [];
    for (const { sent, id, proposer, text, fate } of books.proposals) {
      const state = STATES[Number(await this.chain.read(governor, "state", id))];
      if (state !== fate) throw new Error(`proposal "${text}" is ${state}, planned ${fate}`);
      const raw = await this.chain.call("eth_call", {
        to: governor.address,
        data: governor.abi.encodeFunctionData("proposalVotes", [id]),
      }, "latest");
      const [against, inFavour, abstain] = governor.abi.decodeFunctionResult("proposalVotes", raw).map(String);
      told.push({ id: toBeHex(id, 32), tx: sent.hash, proposer: proposer.toLowerCase(), text, state, votes: { for: inFavour, against, abstain } });
    }
    return told;
  }
}
