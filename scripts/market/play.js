// Plays the market on a private anvil, writes what is expected of it, and has it recorded.
//
//   node play.js FOLDER [RECORDER…]
//
// FOLDER receives market.expected.json and market.sales.json.gz. RECORDER is a command that is given
// `--rpc URL --from 0 --to N` more; without one only the expectation is written.

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Council } from "./council.js";
import { expectation, sales, written } from "./expected.js";
import { Market } from "./market.js";
import { Chain, Random, startNode, wallets } from "./node.js";

const SEED = 20240101;
const PEOPLE = 44;
const TRANSACTIONS = 4_000;

/** How often each thing happens, relative to the others. */
const ACTIONS = {
  mintOne: 9,
  mintMany: 3,
  mintEditions: 7,
  transferToken: 16,
  transferEditions: 11,
  burn: 4,
  approveOne: 4,
  wrap: 3,
  unwrap: 2,
  sendWeth: 5,
  sendVotes: 3,
  sendEther: 5,
  theft: 1,
  buy: 9,
  buyPart: 2,
  sweep: 1,
  takeOffer: 5,
  match: 2,
  secret: 1,
  swap: 1,
  cancel: 2,
  incrementCounter: 0.3,
  validate: 1,
  list: 12,
};

function doings(market) {
  const { random } = market;
  const list = () => {
    const roll = random.below(100);
    return market.list({ bundle: roll < 12, falling: roll >= 12 && roll < 20, partial: roll >= 20 && roll < 40 });
  };
  const special = { list, secret: () => market.match({ secret: true }) };
  return (name) => (special[name] ?? (() => market[name]()))();
}

function pick(random) {
  const entries = Object.entries(ACTIONS);
  let left = random.below(entries.reduce((sum, [, weight]) => sum + weight * 10, 0));
  return entries.find(([, weight]) => (left -= weight * 10) < 0)[0];
}

async function play(node) {
  const chain = new Chain(node.url, new Random(SEED));
  const market = new Market(chain, wallets(PEOPLE));
  await market.open();
  // Something to trade with before trade begins.
  for (let count = 0; count < 60; count += 1) {
    await market[["mintOne", "mintMany", "mintEditions"][count % 3]]();
    await chain.breathe();
  }
  const council = new Council(market);
  await council.convene(chain.number + 30);
  const act = doings(market);
  while (chain.mined < TRANSACTIONS || council.agenda.length > 0) {
    await council.attend();
    await act(pick(chain.random));
    await chain.breathe();
  }
  await chain.mine();
  return { chain, market, council };
}

const [folder, ...recorder] = process.argv.slice(2);
if (!folder) {
  console.error("usage: node play.js FOLDER [RECORDER…]");
  process.exit(2);
}
const node = await startNode(PEOPLE);
try {
  const { chain, market, council } = await play(node);
  const expected = await expectation(market, council);
  writeFileSync(join(folder, "market.expected.json"), written(expected));
  // Six times the rest, and wanted by fewer readers.
  writeFileSync(join(folder, "market.sales.json.gz"), gzipSync(written(sales(market)), { level: 9 }));
  console.log(`${chain.mined} transactions in ${chain.number} blocks, ${expected.logs.all} logs, ${expected.sales} sales`);
  if (recorder.length > 0) {
    const [command, ...args] = recorder;
    const span = ["--rpc", node.url, "--from", "0", "--to", String(chain.number)];
    const done = spawnSync(command, [...args, ...span], { stdio: "inherit" });
    if (done.status !== 0) throw new Error(`${command} ended with ${done.status ?? done.error}`);
  }
} finally {
  node.stop();
}
