// The script's own books: who should own what, kept by what was done, never by reading logs.

/** What one side of an order or a transfer moves: `standard` is "erc721" or "erc1155". */
export const nft = (collection, id, quantity = 1n) => ({ collection, id: BigInt(id), quantity: BigInt(quantity) });

export class Books {
  constructor() {
    /** collection address → id → owner, or null once burned. */
    this.owners = new Map();
    /** collection address → `id:holder` → balance. */
    this.balances = new Map();
    /** collection address → items by kind. */
    this.counts = new Map();
    /** WETH by holder. */
    this.weth = new Map();
    /** What is promised in standing orders: `collection:id[:holder]` → quantity. */
    this.reserved = new Map();
    this.sales = [];
    this.swaps = [];
    this.cancelled = [];
    this.proposals = [];
  }

  open(collection) {
    (collection.standard === "erc721" ? this.owners : this.balances).set(collection.address, new Map());
    this.counts.set(collection.address, { mints: 0, transfers: 0, burns: 0 });
  }

  /** Books one item moving; `from` null is a mint, `to` null a burn. */
  move(item, from, to) {
    const { collection, id, quantity } = item;
    const counts = this.counts.get(collection.address);
    counts[from === null ? "mints" : to === null ? "burns" : "transfers"] += 1;
    if (collection.standard === "erc721") {
      const owners = this.owners.get(collection.address);
      if ((owners.get(id) ?? null) !== from) throw new Error(`${from} does not own ${collection.name} ${id}`);
      owners.set(id, to);
    } else {
      if (from !== null) this.#add(collection, id, from, -quantity);
      if (to !== null) this.#add(collection, id, to, quantity);
    }
  }

  #add(collection, id, holder, quantity) {
    const balances = this.balances.get(collection.address);
    const next = (balances.get(`${id}:${holder}`) ?? 0n) + quantity;
    if (next < 0n) throw new Error(`${holder} holds too few of ${collection.name} ${id}`);
    balances.set(`${id}:${holder}`, next);
  }

  balance(item, holder) {
    return this.balances.get(item.collection.address).get(`${item.id}:${holder}`) ?? 0n;
  }

  addWeth(holder, amount) {
    this.weth.set(holder, (this.weth.get(holder) ?? 0n) + amount);
  }

  #key(item, holder) {
    const key = `${item.collection.address}:${item.id}`;
    return item.collection.standard === "erc721" ? key : `${key}:${holder}`;
  }

  reserve(item, holder, quantity = item.quantity) {
    const key = this.#key(item, holder);
    this.reserved.set(key, (this.reserved.get(key) ?? 0n) + quantity);
  }

  release(item, holder, quantity = item.quantity) {
    this.reserve(item, holder, -quantity);
  }

  /** What a holder may freely give away of a collection: items with the whole free quantity. */
  free(collection, holder) {
    const found = [];
    if (collection.standard === "erc721") {
      for (const [id, owner] of this.owners.get(collection.address)) {
        const item = nft(collection, id);
        if (owner === holder && !this.reserved.get(this.#key(item, holder))) found.push(item);
      }
    } else {
      for (const [key, balance] of this.balances.get(collection.address)) {
        const [id, owner] = key.split(":");
        if (owner !== holder) continue;
        const left = balance - (this.reserved.get(this.#key(nft(collection, id), holder)) ?? 0n);
        if (left > 0n) found.push(nft(collection, id, left));
      }
    }
    return found;
  }
}
