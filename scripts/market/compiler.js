// What the market is made of: our own contracts, compiled here, and published artifacts of others.

import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { ContractFactory, Interface } from "ethers";
import solc from "solc";

const folder = new URL("contracts/", import.meta.url);
const require = createRequire(import.meta.url);

/** A contract to deploy: its interface and how to write its creation code. */
function contract(abi, bytecode) {
  return {
    abi: new Interface(abi),
    creation: async (...args) => (await new ContractFactory(abi, bytecode).getDeployTransaction(...args)).data,
  };
}

/** Compiles every file in `contracts/`; returns the contracts by name. */
export function compiled() {
  const names = readdirSync(fileURLToPath(folder)).filter((name) => name.endsWith(".sol"));
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(names.map((name) => [name, { content: readFileSync(new URL(name, folder), "utf8") }])),
    settings: {
      optimizer: { enabled: true, runs: 200 },
      evmVersion: "cancun",
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const imported = (path) => ({ contents: readFileSync(require.resolve(path), "utf8") });
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: imported }));
  const errors = (output.errors ?? []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  const own = names.flatMap((name) => Object.entries(output.contracts[name]));
  return Object.fromEntries(own.map(([name, made]) => [name, contract(made.abi, `0x${made.evm.bytecode.object}`)]));
}

/** A contract of OpenZeppelin's published package, with the bytecode published there. */
export function openZeppelin(name) {
  const { abi, bytecode } = require(`@openzeppelin/contracts/build/contracts/${name}.json`);
  return contract(abi, bytecode);
}

/** A contract of Seaport 1.6 as published by OpenSea. */
export function seaportArtifact(path) {
  const root = new URL("node_modules/@opensea/seaport-js/src/artifacts/seaport/contracts/", import.meta.url);
  const { abi, bytecode } = JSON.parse(readFileSync(new URL(path, root), "utf8"));
  return contract(abi, bytecode);
}
