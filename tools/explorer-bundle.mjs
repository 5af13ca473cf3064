#!/usr/bin/env node
// What a block explorer verifies the validator's source by: the compiler's standard JSON input, and nothing that isn't compiled
// into it. `node tools/explorer-bundle.mjs` writes it to target/explorer/; `--check` compiles it afresh, and fails unless what
// comes out is the build's code, byte for byte.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const [path, name] = ["contracts/WalletProposalValidator.sol", "WalletProposalValidator"];
const artifact = JSON.parse(readFileSync(join(root, `out/${name}.sol/${name}.json`), "utf8"));

const { compilationTarget, ...settings } = artifact.metadata.settings;
const sources = Object.keys(artifact.metadata.sources).sort();
const outputSelection = { [path]: { [name]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "metadata"] } };
const input = {
  language: "Solidity",
  sources: Object.fromEntries(sources.map((source) => [source, { content: readFileSync(join(root, source), "utf8") }])),
  settings: { ...settings, outputSelection },
};

if (process.argv[2] === "--check") {
  const solc = createRequire(import.meta.url)("solc");
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  const error = errors.find(({ severity }) => severity === "error");
  const { evm } = contracts?.[path]?.[name] ?? {};
  const same = (kind) => `0x${evm?.[kind].object}` === artifact[kind].object;
  if (error || !same("bytecode") || !same("deployedBytecode")) {
    console.error(`explorer-bundle: it doesn't compile to the build's code${error ? `: ${error.formattedMessage}` : ""}`);
    process.exit(1);
  }
  console.log(`${sources.length} sources compile to the build's ${artifact.bytecode.object.length / 2 - 1} bytes of creation code`);
} else {
  const folder = join(root, "target/explorer");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(input, null, 2)}\n`);
  console.log(`target/explorer/${name}.json: standard JSON input for solc ${artifact.metadata.compiler.version}, contract ${path}:${name}`);
}
