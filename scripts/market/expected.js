// What an indexer of this chain should find: the node's own answers at the last block, and the script's books.
// No log is decoded for it; the counts of logs only compare topics.

import { id as keccakText, toQuantity } from "ethers";

/** Every owner and balance as the node tells it, checked against the books. */
async function holdings(market) {
  const { chain, books, collections } = market;
  const told = [];
  for (const collection of collections) {
    const { address, name, standard } = collection;
    const answer = standard === "erc721" ? await owners(chain, books, collection) : await balances(chain, books, collection);
    told.push({ address, name, standard, counts: books.counts.get(address), ...answer });
  }
  return told;
}

/** `ownerOf` for every id that was ever minted; burned ones revert. */
async function owners(chain, books, collection) {
  const held = {};
  const burned = [];
  for (const [id, booked] of books.owners.get(collection.address)) {
    const owner = await chain.read(collection, "ownerOf", id).then((found) => found.toLowerCase(), () => null);
    if (owner !== booked) throw new Error(`${collection.name} ${id}: the node says ${owner}, the books say ${booked}`);
    if (owner === null) burned.push(String(id));
    else (held[owner] ??= []).push(String(id));
  }
  return { owners: sorted(held), burned };
}

/** `balanceOf` for every holder and id the books know, and for everybody else on the first ids. */
async function balances(chain, books, collection) {
  const held = {};
  for (const [key, booked] of books.balances.get(collection.address)) {
    const [id, holder] = key.split(":");
    const balance = await chain.read(collection, "balanceOf", holder, id);
    if (balance !== booked) throw new Error(`${collection.name} ${key}: the node says ${balance}, the books say ${booked}`);
    if (balance > 0n) (held[holder] ??= {})[id] = String(balance);
  }
  return { balances: sorted(held) };
}

const sorted = (record) => Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

const EVENTS = {
  erc20_transfer: ["Transfer(address,address,uint256)", 3],
  erc721_transfer: ["Transfer(address,address,uint256)", 4],
  transfer_single: ["TransferSingle(address,address,address,uint256,uint256)", 4],
  transfer_batch: ["TransferBatch(address,address,address,uint256[],uint256[])", 4],
  consecutive_transfer: ["ConsecutiveTransfer(uint256,uint256,address,address)", 4],
  order_fulfilled: ["OrderFulfilled(bytes32,address,address,address,(uint8,address,uint256,uint256)[],(uint8,address,uint256,uint256,address)[])", 3],
  orders_matched: ["OrdersMatched(bytes32[])", 1],
  order_cancelled: ["OrderCancelled(bytes32,address,address)", 3],
  counter_incremented: ["CounterIncremented(uint256,address)", 2],
  vote_cast: ["VoteCast(address,uint256,uint8,uint256,string)", 2],
  vote_cast_with_params: ["VoteCastWithParams(address,uint256,uint8,uint256,string,bytes)", 2],
};

/** Logs by kind, told by their first topic and their number of topics alone. */
async function logCounts(chain) {
  const kinds = new Map(Object.entries(EVENTS).map(([name, [signature, topics]]) => [`${keccakText(signature)}:${topics}`, name]));
  const counts = { all: 0, ...Object.fromEntries(Object.keys(EVENTS).map((name) => [name, 0])) };
  for (let from = 0; from <= chain.number; from += 100) {
    const to = Math.min(from + 99, chain.number);
    const logs = await chain.call("eth_getLogs", { fromBlock: toQuantity(from), toBlock: toQuantity(to) });
    for (const { topics } of logs) {
      counts.all += 1;
      const name = kinds.get(`${topics[0]}:${topics.length}`);
      if (name) counts[name] += 1;
    }
  }
  return counts;
}

function sale({ sent, call, side, hash, seller, buyer, items, price, fees, currency }) {
  return {
    tx: sent.hash,
    block: sent.block,
    call,
    side,
    order_hash: hash,
    seller: seller.toLowerCase(),
    buyer: buyer.toLowerCase(),
    items: items.map(({ collection, id, quantity }) => ({ collection: collection.address, token_id: String(id), quantity: String(quantity) })),
    price: String(price),
    currency,
    fees: fees.map(({ recipient, amount }) => ({ recipient: recipient.toLowerCase(), amount: String(amount) })),
  };
}

const order = ({ sent, hash }) => ({ tx: sent.hash, order_hash: hash });

export async function expectation(market, council) {
  const { chain, books } = market;
  const head = await chain.call("eth_getBlockByNumber", toQuantity(chain.number), false);
  for (const [holder, booked] of books.weth) {
    const balance = await chain.read(market.weth, "balanceOf", holder);
    if (balance !== booked) throw new Error(`WETH of ${holder}: the node says ${balance}, the books say ${booked}`);
  }
  return {
    chain_id: 31337,
    head: { number: chain.number, hash: head.hash, timestamp: Number(head.timestamp) },
    transactions: chain.mined,
    contracts: Object.fromEntries(
      ["seaport", "weth", "votes", "governor", "timelock"].map((name) => [name, market[name].address.toLowerCase()]),
    ),
    logs: await logCounts(chain),
    collections: await holdings(market),
    sales: books.sales.length,
    proposals: await council.outcome(),
  };
}

/** The trade book: every sale with its price and its parts, swaps, and orders cancelled one by one. */
export function sales({ books }) {
  return {
    sales: books.sales.map(sale),
    swaps: books.swaps.map(order),
    cancelled_orders: books.cancelled.map(order),
  };
}

/** JSON with one line per record, so that a change of the market can be read as a difference. */
export function written(expected) {
  const lists = Object.entries(expected).map(([name, value]) => {
    const body = Array.isArray(value) ? `[\n${value.map((row) => `  ${JSON.stringify(row)}`).join(",\n")}\n ]` : JSON.stringify(value);
    return ` ${JSON.stringify(name)}: ${body}`;
  });
  return `{\n${lists.join(",\n")}\n}\n`;
}
