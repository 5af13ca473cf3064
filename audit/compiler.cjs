// For audit/mutation: a compiler that stays warm. It answers each line on stdin, JSON with the sources by path and the
// contracts wanted as "path:name", with a line of JSON: each contract's ABI and creation code, or else the first error. To
// optimize would take most of the time, so it does where asked only.
"use strict";
const solc = require("solc");

const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { sources, contracts, optimize } = JSON.parse(line);
  const wanted = contracts.map((contract) => contract.split(":"));
  const output = JSON.parse(solc.compile(JSON.stringify({
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(sources).map(([path, content]) => [path, { content }])),
    settings: {
      optimizer: { enabled: optimize },
      evmVersion: "cancun",
      metadata: { bytecodeHash: "none" },
      outputSelection: Object.fromEntries(wanted.map(([path, name]) => [path, { [name]: ["abi", "evm.bytecode.object"] }])),
    },
  })));
  const error = (output.errors ?? []).find(({ severity }) => severity === "error");
  const made = () => wanted.map(([path, name]) => output.contracts[path][name]);
  const answer = error ? { error: error.formattedMessage } : made().map(({ abi, evm }) => ({ abi, code: `0x${evm.bytecode.object}` }));
  console.log(JSON.stringify(answer));
});
