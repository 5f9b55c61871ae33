// The market's contracts, its people and what they can do. Every action sends transactions and books what they do.

import { id as keccakText, ZeroAddress, ZeroHash, parseEther } from "ethers";
import { Books, nft } from "./books.js";
import { openZeppelin, compiled, seaportArtifact } from "./compiler.js";
import * as seaport from "./seaport.js";

const lower = (address) => address.toLowerCase();

export class Market {
  constructor(chain, people) {
    this.chain = chain;
    this.random = chain.random;
    [this.founder, this.feeTaker, this.creator, this.relayer, ...this.traders] = people;
    this.people = people;
    this.books = new Books();
    this.approved = new Set();
    this.counters = new Map();
    /** Standing listings, oldest first. */
    this.listings = [];
  }

  /** Deploys everything; Seaport and its conduits stand where they stand on the public chains. */
  async open() {
    const { chain, founder } = this;
    const own = compiled();
    const controller = seaportArtifact("conduit/ConduitController.sol/LocalConduitController.json");
    this.conduits = await chain.place(founder, seaport.CONDUIT_CONTROLLER, controller);
    const exchange = seaportArtifact("Seaport.sol/Seaport.json");
    this.seaport = await chain.place(founder, seaport.ADDRESS, exchange, this.conduits.address);

    this.weth = await chain.deploy(founder, own.WrappedEther);
    const preset721 = openZeppelin("ERC721PresetMinterPauserAutoId");
    const preset1155 = openZeppelin("ERC1155PresetMinterPauser");
    this.meadow = await this.#collection("Meadow", "erc721", preset721, "Meadow", "MEADOW", "https://example.invalid/meadow/");
    this.strata = await this.#collection("Strata", "erc721", own.Strata, this.creator.address);
    const receivers = this.traders.slice(0, 5).map((trader) => trader.address);
    this.genesis = await this.#collection("Genesis", "erc721", own.Genesis, receivers, 100);
    receivers.forEach((receiver, range) => {
      for (let index = 0; index < 100; index += 1) this.books.move(nft(this.genesis, range * 100 + index), null, lower(receiver));
    });
    this.relics = await this.#collection("Relics", "erc1155", preset1155, "https://example.invalid/relics/{id}");
    this.tickets = await this.#collection("Tickets", "erc1155", preset1155, "https://example.invalid/tickets/{id}");
    this.collections = [this.meadow, this.strata, this.genesis, this.relics, this.tickets];
    this.minted = new Map([[this.meadow, 0], [this.strata, 0]]);

    this.conduitKey = `${lower(founder.address)}${"0".repeat(23)}1`;
    await this.#do(founder, this.conduits, "createConduit", [this.conduitKey, founder.address], { gas: 3_000_000 });
    await chain.mine();
    const raw = await chain.call("eth_call", {
      to: this.conduits.address,
      data: this.conduits.abi.encodeFunctionData("getConduit", [this.conduitKey]),
    }, "latest");
    this.conduit = lower(this.conduits.abi.decodeFunctionResult("getConduit", raw)[0]);
    await this.#do(founder, this.conduits, "updateChannel", [this.conduit, seaport.ADDRESS, true]);

    this.votes = await chain.deploy(founder, own.MarketVotes);
    this.timelock = await chain.deploy(founder, openZeppelin("TimelockController"), 120, [], [ZeroAddress], founder.address);
    this.governor = await chain.deploy(founder, own.MarketGovernor, this.votes.address, this.timelock.address);
    for (const role of ["PROPOSER_ROLE", "CANCELLER_ROLE"]) {
      await this.#do(founder, this.timelock, "grantRole", [keccakText(role), this.governor.address]);
    }
    await this.#do(founder, this.relics, "grantRole", [keccakText("MINTER_ROLE"), this.timelock.address]);
    await this.#do(founder, this.votes, "transfer", [this.timelock.address, parseEther("50000")]);
    for (const trader of this.traders.slice(0, 30)) {
      await this.#do(founder, this.votes, "transfer", [trader.address, parseEther(String(this.random.between(5, 40) * 500))]);
      const delegate = this.random.chance(80) ? trader : this.random.pick(this.traders.slice(0, 30));
      await this.#do(trader, this.votes, "delegate", [delegate.address]);
      await chain.breathe();
    }
    await chain.mine();
  }

  async #collection(name, standard, contract, ...args) {
    const collection = { ...(await this.chain.deploy(this.founder, contract, ...args)), name, standard };
    this.books.open(collection);
    return collection;
  }

  #do(from, contract, method, args, options = {}) {
    const data = contract.abi.encodeFunctionData(method, args);
    return this.chain.send(from, { to: contract.address, data, ...options });
  }

  anyone(except = null) {
    let person;
    do person = this.random.pick(this.traders);
    while (person === except);
    return person;
  }

  // Minting, moving, burning.

  mintOne() {
    return this.mintOneTo(this.anyone().address);
  }

  async mintOneTo(to) {
    const next = this.minted.get(this.meadow);
    this.minted.set(this.meadow, next + 1);
    await this.#do(this.founder, this.meadow, "mint", [to]);
    this.books.move(nft(this.meadow, next), null, lower(to));
  }

  async mintMany() {
    const to = this.anyone();
    const quantity = this.random.between(1, 10);
    const before = this.minted.get(this.strata);
    this.minted.set(this.strata, before + quantity);
    await this.#do(to, this.strata, "mint", [to.address, quantity], { gas: 1_200_000 });
    for (let index = 1; index <= quantity; index += 1) this.books.move(nft(this.strata, before + index), null, lower(to.address));
  }

  async mintEditions() {
    const collection = this.random.pick([this.relics, this.tickets]);
    const to = this.anyone();
    const count = this.random.chance(50) ? 1 : this.random.between(2, 6);
    const items = Array.from({ length: count }, () => nft(collection, this.random.between(1, 24), this.random.between(1, 50)));
    if (count === 1) {
      const [{ id, quantity }] = items;
      await this.#do(this.founder, collection, "mint", [to.address, id, quantity, "0x"]);
    } else {
      // The same id may appear twice in a batch; the standard allows it.
      const ids = items.map((item) => item.id);
      await this.#do(this.founder, collection, "mintBatch", [to.address, ids, items.map((item) => item.quantity), "0x"]);
    }
    for (const item of items) this.books.move(item, null, lower(to.address));
  }

  async transferToken() {
    const collection = this.random.pick([this.meadow, this.strata, this.genesis]);
    const [from, item] = this.#someItem(collection);
    if (!item) return;
    const to = this.random.chance(2) ? from : this.anyone(from);
    const method = this.random.chance(50) ? "transferFrom" : "safeTransferFrom(address,address,uint256)";
    await this.#do(from, collection, method, [from.address, to.address, item.id]);
    this.books.move(item, lower(from.address), lower(to.address));
  }

  async transferEditions() {
    const collection = this.random.pick([this.relics, this.tickets]);
    const from = this.anyone();
    const free = this.books.free(collection, lower(from.address));
    if (free.length === 0) return;
    const to = this.anyone(from);
    if (free.length > 1 && this.random.chance(45)) {
      const items = free.slice(0, this.random.between(2, 6)).map((item) => this.#part(item));
      const amounts = items.map((item) => item.quantity);
      const ids = items.map((item) => item.id);
      await this.#do(from, collection, "safeBatchTransferFrom", [from.address, to.address, ids, amounts, "0x"]);
      for (const item of items) this.books.move(item, lower(from.address), lower(to.address));
    } else {
      const item = this.random.chance(2) ? nft(collection, free[0].id, 0) : this.#part(this.random.pick(free));
      await this.#do(from, collection, "safeTransferFrom", [from.address, to.address, item.id, item.quantity, "0x"]);
      this.books.move(item, lower(from.address), lower(to.address));
    }
  }

  async burn() {
    const collection = this.random.pick(this.collections);
    const [from, found] = this.#someItem(collection);
    if (!found) return;
    const item = this.#part(found);
    if (collection.standard === "erc721") await this.#do(from, collection, "burn", [item.id]);
    else if (this.random.chance(70)) await this.#do(from, collection, "burn", [from.address, item.id, item.quantity]);
    else await this.#do(from, collection, "burnBatch", [from.address, [item.id], [item.quantity]]);
    this.books.move(item, lower(from.address), null);
  }

  #someItem(collection) {
    const from = this.anyone();
    const free = this.books.free(collection, lower(from.address));
    return [from, free.length > 0 ? this.random.pick(free) : null];
  }

  /** Some of what is free: all of a single token, a part of an edition. */
  #part(item) {
    if (item.collection.standard === "erc721") return item;
    return nft(item.collection, item.id, this.random.between(1, Math.min(8, Number(item.quantity))));
  }

  async approveOne() {
    const [from, item] = this.#someItem(this.random.pick([this.meadow, this.strata, this.genesis]));
    if (item) await this.#do(from, item.collection, "approve", [this.anyone(from).address, item.id]);
  }

  // Money and noise.

  async wrap() {
    await this.#wrap(this.anyone(), parseEther(String(this.random.between(1, 20))));
  }

  async #wrap(who, amount) {
    await this.#do(who, this.weth, "deposit", [], { value: amount });
    this.books.addWeth(lower(who.address), amount);
  }

  async unwrap() {
    const who = this.anyone();
    const amount = (this.books.weth.get(lower(who.address)) ?? 0n) / BigInt(this.random.between(3, 9));
    if (amount === 0n) return;
    await this.#do(who, this.weth, "withdraw", [amount]);
    this.books.addWeth(lower(who.address), -amount);
  }

  async sendWeth() {
    const from = this.anyone();
    const to = this.anyone(from);
    const amount = (this.books.weth.get(lower(from.address)) ?? 0n) / BigInt(this.random.between(4, 20));
    if (amount === 0n) return;
    await this.#do(from, this.weth, "transfer", [to.address, amount]);
    this.books.addWeth(lower(from.address), -amount);
    this.books.addWeth(lower(to.address), amount);
  }

  async sendVotes() {
    const from = this.random.pick(this.traders.slice(0, 30));
    await this.#do(from, this.votes, "transfer", [this.anyone(from).address, parseEther(String(this.random.between(1, 9)))]);
  }

  async sendEther() {
    const from = this.anyone();
    const value = parseEther(`0.${this.random.between(1, 99)}`);
    await this.chain.send(from, { to: this.anyone(from).address, value, gas: 21_000 });
  }

  /** Somebody tries to take what is not theirs. */
  async theft() {
    const [owner, item] = this.#someItem(this.meadow);
    if (!item) return;
    const thief = this.relayer;
    await this.#do(thief, this.meadow, "transferFrom", [owner.address, thief.address, item.id], { fails: true });
  }

  // Orders.

  #needs(who, contract, operator) {
    const key = `${who.address}:${contract.address}:${operator}`;
    if (this.approved.has(key)) return false;
    this.approved.add(key);
    return true;
  }

  /** Seaport itself or the conduit, and the permission it needs on a contract. */
  async #way(who, contracts) {
    const conduitKey = who.address.charCodeAt(5) % 2 === 0 ? this.conduitKey : ZeroHash;
    const operator = conduitKey === ZeroHash ? seaport.ADDRESS : this.conduit;
    for (const contract of new Set(contracts)) {
      if (!this.#needs(who, contract, operator)) continue;
      if (contract === this.weth) await this.#do(who, this.weth, "approve", [operator, seaport.UNLIMITED]);
      else await this.#do(who, contract, "setApprovalForAll", [operator, true]);
    }
    return conduitKey;
  }

  async #order(maker, terms) {
    const counter = this.counters.get(maker.address) ?? 0n;
    return seaport.order(maker, { ...terms, counter, salt: this.random.word() });
  }

  /** A price of `units` equal parts, so that a partial fill pays whole amounts. */
  #price(units = 1n) {
    return BigInt(this.random.between(20, 900)) * 4_000_000_000_000_000n * units;
  }

  /** Where a price goes: the marketplace's 2.5 %, the creator's 5 % of Strata, the rest to the seller. */
  #split(price, items, seller, token, endPrice = price) {
    const part = (recipient, share) => seaport.to(recipient, seaport.money(token, (price * share) / 1000n, (endPrice * share) / 1000n));
    const royalty = items.some((item) => item.collection === this.strata) ? 50n : 0n;
    const parts = [part(seller.address, 975n - royalty), part(this.feeTaker.address, 25n)];
    if (royalty > 0n) parts.push(part(this.creator.address, royalty));
    return parts;
  }

  #takeItems(seller, count) {
    const items = [];
    for (const collection of this.collections) {
      const free = this.books.free(collection, lower(seller.address));
      if (free.length > 0) items.push(this.random.pick(free));
    }
    const start = this.random.below(Math.max(items.length, 1));
    return [...items.slice(start), ...items.slice(0, start)].slice(0, count).map((item) => this.#part(item));
  }

  /** Signs a listing and keeps it; nothing goes to the chain but missing permissions. */
  async list({ bundle = false, weth = this.random.chance(25), falling = false, partial = false, to = null } = {}) {
    const seller = this.anyone(to);
    let items = this.#takeItems(seller, bundle ? this.random.between(2, 4) : 1);
    if (partial) items = items.filter((item) => item.collection.standard === "erc1155" && item.quantity > 1n);
    if (items.length < (bundle ? 2 : 1)) return null;
    const token = weth ? this.weth.address : null;
    const units = partial ? items[0].quantity : 1n;
    const price = this.#price(units);
    const consideration = this.#split(price, items, seller, token, falling ? price / 2n : price);
    // A private listing asks for the very token it offers, to be given to the one it is meant for.
    if (to) consideration.push(seaport.to(to.address, seaport.piece(items[0])));
    const conduitKey = await this.#way(seller, items.map((item) => item.collection));
    const made = await this.#order(seller, {
      offer: items.map(seaport.piece),
      consideration,
      conduitKey,
      orderType: partial ? seaport.PARTIAL_OPEN : seaport.FULL_OPEN,
      times: falling ? { start: this.chain.time - 600, end: this.chain.time + 6000 } : undefined,
    });
    const listing = { order: made, seller, items, price, weth, falling, partial, left: units, units };
    for (const item of items) this.books.reserve(item, lower(seller.address));
    if (!to) this.listings.push(listing);
    return listing;
  }

  /** Takes a standing listing off the shelf that `wanted` accepts; its items are free again. */
  #unshelve(wanted) {
    const at = this.listings.findIndex(wanted);
    if (at < 0) return null;
    const [listing] = this.listings.splice(at, 1);
    this.#free(listing);
    return listing;
  }

  #free(listing) {
    for (const item of listing.items) {
      this.books.release(item, lower(listing.seller.address), listing.partial ? listing.left : item.quantity);
    }
  }

  async #ready(buyer, weth, amount) {
    if (!weth) return ZeroHash;
    const conduitKey = await this.#way(buyer, [this.weth]);
    const held = this.books.weth.get(lower(buyer.address)) ?? 0n;
    if (held < amount) await this.#wrap(buyer, amount - held + parseEther("3"));
    return conduitKey;
  }

  /** Books a sale and the moves of its items; the parts of the payment other than the seller's are fees. */
  #sold(sent, call, side, { hash, seller, buyer, payer = buyer, items, payments, weth }) {
    const price = payments.reduce((sum, part) => sum + part.amount, 0n);
    for (const item of items) this.books.move(item, lower(seller), lower(buyer));
    if (weth) {
      this.books.addWeth(lower(payer), -price);
      for (const part of payments) this.books.addWeth(lower(part.recipient), part.amount);
    }
    const fees = payments.filter((part) => lower(part.recipient) !== lower(seller));
    this.books.sales.push({ sent, call, side, hash, seller, buyer, items, price, fees, currency: weth ? this.weth.address : ZeroAddress });
  }

  #payments(listing, share = 1n) {
    const { parameters } = listing.order;
    return parameters.consideration
      .filter((part) => part.itemType < 2)
      .map((part) => ({
        recipient: part.recipient,
        amount: (seaport.amountAt(part, parameters, this.chain.time) * share) / listing.units,
      }));
  }

  /** Buys one standing listing whole, by whichever call fits. */
  async buy() {
    const buyer = this.anyone();
    const listing = this.#unshelve((one) => one.seller !== buyer && !one.partial);
    if (!listing) return;
    const { order, items, weth, seller, falling } = listing;
    const payments = this.#payments(listing);
    const price = payments.reduce((sum, part) => sum + part.amount, 0n);
    const conduitKey = await this.#ready(buyer, weth, price * 2n);
    const options = { value: weth ? 0n : price, gas: 900_000 };
    let call, args, receiver = buyer;
    const roll = this.random.below(100);
    if (items.length === 1 && !falling && roll < 60) {
      call = this.random.chance(50) ? "fulfillBasicOrder" : "fulfillBasicOrder_efficient_6GL6yc";
      const tips = this.random.chance(8) ? [seaport.to(this.relayer.address, seaport.money(null, price / 100n))] : [];
      for (const tip of tips) {
        payments.push({ recipient: tip.recipient, amount: tip.startAmount });
        if (!weth) options.value += tip.startAmount;
      }
      args = [seaport.basic(order, conduitKey, tips)];
    } else if (roll < 85) {
      call = "fulfillOrder";
      args = [seaport.plain(order), conduitKey];
      // What is paid too much comes back.
      if (!weth && falling) options.value += price / 10n;
    } else {
      call = "fulfillAdvancedOrder";
      if (this.random.chance(40)) receiver = this.anyone(seller);
      args = [seaport.advanced(order), [], conduitKey, receiver.address];
    }
    const sent = await this.#do(buyer, this.seaport, call, args, options);
    const parties = { seller: seller.address, buyer: receiver.address, payer: buyer.address };
    this.#sold(sent, call, "listing", { hash: order.hash, ...parties, items, payments, weth });
  }

  /** Buys some units of an edition offered in parts; what is left stays on the shelf. */
  async buyPart() {
    const buyer = this.anyone();
    const listing = this.listings.find((one) => one.partial && one.left > 0n && one.seller !== buyer);
    if (!listing) return;
    const share = BigInt(this.random.between(1, Number(listing.left)));
    const payments = this.#payments(listing, share);
    const price = payments.reduce((sum, part) => sum + part.amount, 0n);
    const conduitKey = await this.#ready(buyer, listing.weth, price);
    const args = [seaport.advanced(listing.order, share, listing.units), [], conduitKey, ZeroAddress];
    const value = listing.weth ? 0n : price;
    const sent = await this.#do(buyer, this.seaport, "fulfillAdvancedOrder", args, { value, gas: 900_000 });
    const items = [nft(listing.items[0].collection, listing.items[0].id, share)];
    this.books.release(items[0], lower(listing.seller.address));
    listing.left -= share;
    if (listing.left === 0n) this.listings.splice(this.listings.indexOf(listing), 1);
    const parties = { seller: listing.seller.address, buyer: buyer.address };
    const { hash } = listing.order;
    this.#sold(sent, "fulfillAdvancedOrder", "listing", { hash, ...parties, items, payments, weth: listing.weth });
  }

  /** Sweeps several listings at once; one of them was cancelled a moment before and is passed over. */
  async sweep() {
    const buyer = this.anyone();
    const fits = (one) => one.seller !== buyer && !one.partial && !one.falling && !one.weth;
    const swept = [];
    for (let count = this.random.between(3, 6); count > 0; count -= 1) swept.push(this.#unshelve(fits));
    const found = swept.filter((listing) => listing !== null);
    if (found.length < 2) {
      found.forEach((listing) => this.#reshelve(listing));
      return;
    }
    const stale = this.random.chance(40) ? found.at(-1) : null;
    if (stale) await this.#cancel(stale);
    const fresh = found.filter((listing) => listing !== stale);
    const all = (side) => found.flatMap(({ order }, orderIndex) => order.parameters[side].map((_, itemIndex) => [{ orderIndex, itemIndex }]));
    const value = found.reduce((sum, listing) => sum + listing.price, 0n);
    const advanced = this.random.chance(70);
    const call = advanced ? "fulfillAvailableAdvancedOrders" : "fulfillAvailableOrders";
    const args = advanced
      ? [found.map(({ order }) => seaport.advanced(order)), [], all("offer"), all("consideration"), ZeroHash, buyer.address, 100]
      : [found.map(({ order }) => seaport.plain(order)), all("offer"), all("consideration"), ZeroHash, 100];
    const sent = await this.#do(buyer, this.seaport, call, args, { value, gas: 2_500_000 });
    for (const listing of fresh) {
      const parties = { seller: listing.seller.address, buyer: buyer.address };
      const { hash } = listing.order;
      this.#sold(sent, call, "listing", { hash, ...parties, items: listing.items, payments: this.#payments(listing), weth: false });
    }
  }

  #reshelve(listing) {
    for (const item of listing.items) this.books.reserve(item, lower(listing.seller.address));
    this.listings.push(listing);
  }

  /** Somebody bids WETH for a token, for any of a collection or for any of a list of ids, and an owner accepts. */
  async takeOffer() {
    const seller = this.anyone();
    const items = this.#takeItems(seller, 1);
    if (items.length === 0) return;
    const buyer = this.anyone(seller);
    const price = this.#price();
    const [item] = items;
    const wish = this.random.below(3);
    const ids = [item.id, item.id + 1n, item.id + 5n, item.id + 11n, item.id + 12n];
    const tree = seaport.criteria(ids);
    const wanted = [
      () => seaport.piece(item),
      () => seaport.anyPiece(item.collection, item.quantity),
      () => seaport.anyPiece(item.collection, item.quantity, tree.root),
    ][wish]();
    const bidKey = await this.#ready(buyer, true, price);
    const fees = this.#split(price, items, seller, this.weth.address).slice(1);
    const made = await this.#order(buyer, {
      offer: [seaport.money(this.weth.address, price)],
      consideration: [seaport.to(buyer.address, wanted), ...fees],
      conduitKey: bidKey,
    });
    const basic = wish === 0 && this.random.chance(60);
    // Filled the plain way, the fees are taken out of what the seller received a moment before.
    const sellKey = await this.#way(seller, basic ? [item.collection] : [item.collection, this.weth]);
    const resolvers = wish === 0 ? [] : [{ orderIndex: 0, side: 1, index: 0, identifier: item.id, criteriaProof: wish === 2 ? tree.proof(item.id) : [] }];
    const call = basic ? "fulfillBasicOrder" : "fulfillAdvancedOrder";
    const args = basic ? [seaport.basic(made, sellKey)] : [seaport.advanced(made), resolvers, sellKey, ZeroAddress];
    const sent = await this.#do(seller, this.seaport, call, args, { gas: 900_000 });
    const taken = fees.map((part) => ({ recipient: part.recipient, amount: part.startAmount }));
    const net = price - taken.reduce((sum, part) => sum + part.amount, 0n);
    const payments = [{ recipient: seller.address, amount: net }, ...taken];
    const parties = { seller: seller.address, buyer: buyer.address };
    this.#sold(sent, call, "offer", { hash: made.hash, ...parties, items, payments, weth: true });
  }

  /** A listing matched with the buyer's mirror order, by the buyer in ether or by a third party in WETH. */
  async match({ secret = false } = {}) {
    const meant = secret ? this.anyone() : null;
    const buyer = meant ?? this.anyone();
    const listing = secret
      ? await this.list({ weth: false, to: meant })
      : this.#unshelve((one) => one.seller !== buyer && !one.partial && !one.falling && one.items.length === 1);
    if (!listing) return;
    if (secret) this.#free(listing);
    const { order, items, weth, seller } = listing;
    const payments = this.#payments(listing);
    const conduitKey = await this.#ready(buyer, weth, listing.price);
    const mirror = await this.#order(buyer, {
      offer: [seaport.money(weth ? this.weth.address : null, listing.price)],
      consideration: secret ? [] : [seaport.to(buyer.address, seaport.piece(items[0]))],
      conduitKey,
    });
    const meet = (offer, consideration) => ({ offerComponents: [offer], considerationComponents: [consideration] });
    const at = (orderIndex, itemIndex) => ({ orderIndex, itemIndex });
    const fulfillments = [
      meet(at(0, 0), secret ? at(0, payments.length) : at(1, 0)),
      ...payments.map((_, index) => meet(at(1, 0), at(0, index))),
    ];
    const caller = weth ? this.relayer : buyer;
    const advanced = this.random.chance(50);
    const call = advanced ? "matchAdvancedOrders" : "matchOrders";
    const args = advanced
      ? [[seaport.advanced(order), seaport.advanced(mirror)], [], fulfillments, caller.address]
      : [[seaport.plain(order), seaport.plain(mirror)], fulfillments];
    const sent = await this.#do(caller, this.seaport, call, args, { value: weth ? 0n : listing.price, gas: 900_000 });
    const parties = { seller: seller.address, buyer: buyer.address };
    this.#sold(sent, call, "listing", { hash: order.hash, ...parties, items, payments, weth });
  }

  /** One token for another: no money, hence no sale. */
  async swap() {
    const maker = this.anyone();
    const taker = this.anyone(maker);
    const [given] = this.#takeItems(maker, 1);
    const [asked] = this.#takeItems(taker, 1);
    if (!given || !asked) return;
    const makerKey = await this.#way(maker, [given.collection]);
    const made = await this.#order(maker, {
      offer: [seaport.piece(given)],
      consideration: [seaport.to(maker.address, seaport.piece(asked))],
      conduitKey: makerKey,
    });
    const takerKey = await this.#way(taker, [asked.collection]);
    const sent = await this.#do(taker, this.seaport, "fulfillOrder", [seaport.plain(made), takerKey], { gas: 900_000 });
    this.books.move(given, lower(maker.address), lower(taker.address));
    this.books.move(asked, lower(taker.address), lower(maker.address));
    this.books.swaps.push({ sent, hash: made.hash });
  }

  async #cancel(listing) {
    const sent = await this.#do(listing.seller, this.seaport, "cancel", [[listing.order.components]]);
    this.books.cancelled.push({ sent, hash: listing.order.hash });
  }

  /** Cancels a standing listing; now and then somebody still tries to buy it. */
  async cancel() {
    const listing = this.#unshelve(() => true);
    if (!listing) return;
    await this.#cancel(listing);
    if (!this.random.chance(25)) return;
    const buyer = this.anyone(listing.seller);
    const value = listing.weth ? 0n : listing.price;
    await this.#do(buyer, this.seaport, "fulfillOrder", [seaport.plain(listing.order), ZeroHash], { value, fails: true });
  }

  /** Voids every standing order of one seller at once. */
  async incrementCounter() {
    if (this.listings.length === 0) return;
    const { seller } = this.random.pick(this.listings);
    for (const listing of this.listings.filter((one) => one.seller === seller)) this.#free(listing);
    this.listings = this.listings.filter((one) => one.seller !== seller);
    await this.#do(seller, this.seaport, "incrementCounter", []);
    // The new counter depends on the last block's hash, so it is read before the seller signs again.
    await this.chain.mine();
    this.counters.set(seller.address, await this.chain.read(this.seaport, "getCounter", seller.address));
  }

  /** Puts a standing listing on chain; it needs no signature from then on. */
  async validate() {
    const listing = this.listings.find((one) => one.order.signature !== "0x");
    if (!listing) return;
    await this.#do(listing.seller, this.seaport, "validate", [[seaport.plain(listing.order)]]);
    listing.order.signature = "0x";
  }
}
