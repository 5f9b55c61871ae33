// A private anvil, and a chain on it whose blocks are mined by hand: deterministic senders, order and timestamps.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { getCreateAddress, HDNodeWallet, Mnemonic, toBeHex, toQuantity } from "ethers";

export const CHAIN_ID = 31337;
// 2024-01-01T00:00:00Z.
export const GENESIS_TIME = 1704067200;
const PHRASE = "test test test test test test test test test test test junk";

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts anvil (the binary ANVIL names) and waits until it answers; `stop` ends it. */
export async function startNode(accounts) {
  const port = await freePort();
  const flags = {
    "--port": port,
    "--chain-id": CHAIN_ID,
    "--accounts": accounts,
    "--mnemonic": PHRASE,
    "--timestamp": GENESIS_TIME,
    "--hardfork": "prague",
    "--gas-limit": 30_000_000,
    "--order": "fifo",
  };
  const switches = ["--no-mining", "--quiet", "--preserve-historical-states"];
  if (!process.env.ANVIL) throw new Error("ANVIL has to name the anvil binary; scripts/record-market sets it");
  const child = spawn(process.env.ANVIL, [...switches, ...Object.entries(flags).flat().map(String)], { stdio: "inherit" });
  const url = `http://127.0.0.1:${port}`;
  for (let attempt = 0; ; attempt += 1) {
    const answered = await rpc(url, "eth_chainId", []).catch(() => null);
    if (answered === toQuantity(CHAIN_ID)) break;
    if (child.exitCode !== null || attempt > 200) throw new Error("anvil did not start");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url, stop: () => child.kill() };
}

let requests = 0;

export async function rpc(url, method, params) {
  requests += 1;
  const body = JSON.stringify({ jsonrpc: "2.0", id: requests, method, params });
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  const answer = await response.json();
  if (answer.error) throw new Error(`${method}: ${answer.error.message} ${answer.error.data ?? ""}`);
  return answer.result;
}

/** The keys anvil itself derives, so that orders can be signed here. */
export function wallets(count) {
  const seed = Mnemonic.fromPhrase(PHRASE);
  return Array.from({ length: count }, (_, index) => HDNodeWallet.fromMnemonic(seed, `m/44'/60'/0'/0/${index}`));
}

/** The chain being written: transactions wait in order and are mined some at a time. */
export class Chain {
  constructor(url, random) {
    this.url = url;
    this.random = random;
    this.number = 0;
    this.time = GENESIS_TIME;
    this.mined = 0;
    this.waiting = [];
    this.nonces = new Map();
    this.room = 4;
    this.afterBlock = async () => {};
    this.#schedule();
  }

  call(method, ...params) {
    return rpc(this.url, method, params);
  }

  /** Time the block now being filled will have: known beforehand, so that a falling price can be paid to the wei. */
  #schedule() {
    this.time += this.random.between(10, 14);
  }

  /**
   * Queues a transaction of an account of the node. `fails` says that it has to revert.
   * Answers with a record whose `block` and `receipt` are filled in when it is mined.
   */
  async send(from, { to = null, data = "0x", value = 0n, gas = 600_000, fails = false }) {
    const nonce = this.nonces.get(from.address) ?? 0;
    this.nonces.set(from.address, nonce + 1);
    const request = {
      from: from.address,
      data,
      value: toQuantity(value),
      gas: toQuantity(gas),
      nonce: toQuantity(nonce),
      ...this.#fees(),
    };
    if (to) request.to = to;
    const hash = await this.call("eth_sendTransaction", request);
    const sent = { hash, fails, from: from.address, to, creates: to ? null : getCreateAddress({ from: from.address, nonce }) };
    this.waiting.push(sent);
    return sent;
  }

  /** Old and new kinds of transaction side by side, as on a real chain. */
  #fees() {
    const gwei = 1_000_000_000n;
    const kind = this.random.below(20);
    if (kind < 3) return { gasPrice: toQuantity(20n * gwei) };
    if (kind < 4) return { gasPrice: toQuantity(20n * gwei), accessList: [] };
    return { maxFeePerGas: toQuantity(20n * gwei), maxPriorityFeePerGas: toQuantity(gwei) };
  }

  /** Mines when the block now being filled has had its share; looked at between the market's actions. */
  async breathe() {
    if (this.waiting.length >= this.room) await this.mine();
  }

  async mine() {
    await this.call("evm_setNextBlockTimestamp", this.time);
    // The one field of a header that anvil would choose at random.
    await this.call("anvil_mine", "0x1");
    this.number += 1;
    const number = toQuantity(this.number);
    const block = await this.call("eth_getBlockByNumber", number, false);
    const receipts = await this.call("eth_getBlockReceipts", number);
    const hashes = this.waiting.map((sent) => sent.hash);
    // Block hashes are the same in every run only while the order is the one sent.
    if (block.transactions.join() !== hashes.join()) throw new Error(`block ${this.number} holds other transactions than sent`);
    this.waiting.forEach((sent, index) => {
      const receipt = receipts[index];
      if ((receipt.status === "0x0") !== sent.fails) {
        throw new Error(`transaction ${sent.hash} to ${sent.to} ${sent.fails ? "passed" : "failed"} in block ${this.number}`);
      }
      sent.block = this.number;
      sent.receipt = receipt;
    });
    this.mined += this.waiting.length;
    this.waiting = [];
    this.room = this.random.between(1, 8);
    this.#schedule();
    await this.afterBlock();
  }

  async deploy(from, contract, ...args) {
    const sent = await this.send(from, { data: await contract.creation(...args), gas: 8_000_000 });
    await this.mine();
    return { address: sent.creates.toLowerCase(), abi: contract.abi };
  }

  /**
   * Puts a contract where it lives on the public chains: its creation code runs at that very address, so that what it
   * computes from the address (a signature domain, code hashes) is what it is there.
   */
  async place(from, address, contract, ...args) {
    const creation = await contract.creation(...args);
    await this.call("anvil_setCode", address, creation);
    const runtime = await this.call("eth_call", { from: from.address, to: address, gas: toQuantity(25_000_000) }, "latest");
    await this.call("anvil_setCode", address, runtime);
    return { address, abi: contract.abi };
  }

  async read(contract, method, ...args) {
    const data = contract.abi.encodeFunctionData(method, args);
    const raw = await this.call("eth_call", { to: contract.address, data }, "latest");
    return contract.abi.decodeFunctionResult(method, raw)[0];
  }
}

/** A number that is the same in every run: a small generator with a fixed seed (mulberry32). */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  #next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  below(limit) {
    return this.#next() % limit;
  }

  between(low, high) {
    return low + this.below(high - low + 1);
  }

  chance(percent) {
    return this.below(100) < percent;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  word() {
    return toBeHex(Array.from({ length: 8 }, () => BigInt(this.#next())).reduce((sum, part) => (sum << 32n) | part, 0n), 32);
  }
}
