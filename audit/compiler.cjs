// For audit/mutation: a compiler that stays warm. It answers each line on stdin, JSON with the sources by path and the
// contracts wanted as "path:name", with a line of JSON: the contracts' creation code, or the first error.
"use strict";
const solc = require("solc");

const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { sources, contracts } = JSON.parse(line);
  const wanted = contracts.map((contract) => contract.split(":"));
  const output = JSON.parse(solc.compile(JSON.stringify({
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(sources).map(([path, content]) => [path, { content }])),
    settings: {
      optimizer: { enabled: true },
      evmVersion: "cancun",
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: Object.fromEntries(wanted.map(([path, name]) => [path, { [name]: ["evm.bytecode.object"] }])),
    },
  })));
  const error = (output.errors ?? []).find(({ severity }) => severity === "error");
  const codes = wanted.map(([path, name]) => output.contracts?.[path]?.[name]?.evm.bytecode.object);
  console.log(JSON.stringify(error ? { error: error.formattedMessage } : { codes }));
});
