#!/usr/bin/env node
// The rules as text: `node tools/rules.mjs` writes docs/rules.md from the interface's docs and the contract's constants, `--check`
// fails when it is stale, or when a rule lacks its error or its line in the contract.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (path) => readFileSync(join(root, path), "utf8");
const contract = read("contracts/WalletProposalValidator.sol");
const target = "docs/rules.md";
const EXPECTED = { DS: 15, RD: 10, HB: 1, MF: 7, MS: 5 };

function fail(message) {
  console.error(`rules: ${message}`);
  process.exit(1);
}

// Each declaration of the interface with the docs above it.
const documented = [];
let docs = [];
for (const line of read("contracts/interfaces/IWalletProposalValidator.sol").split("\n")) {
  const doc = line.match(/^ *\/\/\/ ?(.*)/);
  const declaration = line.match(/^ {4}(error|function) (\w+)\((.*?)\)?;?$|^ {4}(function) (\w+)\(/);
  if (doc) docs.push(doc[1]);
  else {
    if (declaration) documented.push({ kind: declaration[1] ?? declaration[4], name: declaration[2] ?? declaration[5], line: line.trim(), docs });
    docs = [];
  }
}

const errorsOf = {};
for (const { name, line, docs } of documented.filter(({ kind }) => kind === "error")) {
  const text = docs.join(" ").replace("@notice ", "");
  const signature = line.match(/^error (\w+\(.*\));$/)?.[1] ?? fail(`error ${name} has no one line`);
  const ids = text.match(/^[A-Z]{2}-\d+(?: \([^)]*\))?(?:, [A-Z]{2}-\d+(?: \([^)]*\))?)*/)?.[0].match(/[A-Z]{2}-\d+/g);
  if (!ids) fail(`error ${name} names no rule`);
  for (const id of ids) (errorsOf[id] ??= []).push(signature);
}

const tidy = (lines) => lines.map((line) => line.trim()).join(" ");
const counts = {};
const parts = documented.filter(({ name }) => name.startsWith("validate")).map(({ name, docs }) => {
  const question = docs[0].replace("@notice ", "");
  const rules = [];
  for (const line of docs.slice(1)) {
    if (line.startsWith("@")) break;
    const rule = line.match(/^ *- ([A-Z]{2}-\d+): (.*)/);
    if (rule) rules.push({ id: rule[1], lines: [rule[2]] });
    else if (line.startsWith("          ")) rules.at(-1).lines.push(line);
  }
  const rows = rules.map(({ id, lines }, i) => {
    const [group, number] = id.split("-");
    counts[group] = (counts[group] ?? 0) + 1;
    if (Number(number) !== i + 1) fail(`${id} is out of order`);
    if (!errorsOf[id]) fail(`${id} has no error`);
    if (!new RegExp(`// .*\\b${id}\\b|@dev .*\\b${id}\\b`).test(contract)) fail(`${id} has no line in the contract`);
    return `| ${id} | ${tidy(lines).replace(/\.$/, "")} | ${errorsOf[id].map((error) => `\`${error}\``).join(", ")} |`;
  });
  const listed = docs.findIndex((line) => /^ *Then each/.test(line));
  const first = listed < 0 ? "" : `\nFrom ${docs[listed + 1].match(/[A-Z]{2}-\d+/)[0]} on the rules are about one item; all of them are applied to it before the next item.\n`;
  return `## \`${name}\`\n\n${question}\n${first}\n| rule | holds when | else |\n|---|---|---|\n${rows.join("\n")}\n`;
});
if (JSON.stringify(counts) !== JSON.stringify(EXPECTED)) fail(`not the rules that there are: ${JSON.stringify(counts)}`);

const constants = [...contract.matchAll(/^ {4}uint\d+ public constant (\w+) = (.*);$/gm)].map(([, name, value]) => `| \`${name}\` | ${value} |`);
const text = `# The rules

What \`WalletProposalValidator\` checks of each proposal. Made from the docs of [the interface](../contracts/interfaces/IWalletProposalValidator.sol) by
\`make rules\`; \`make check-bindings\` fails when the two differ. The interface also says what is assumed of the Bridge, what isn't checked, and
which race or loss each constant prevents.

A proposal that breaks several rules is rejected for the first. All comparisons of times are strict, against the block's timestamp. Arguments of errors are
\`index\`, the item's position from zero, then the actual value and the bound.

| constant | value |
|---|---|
${constants.join("\n")}

${parts.join("\n")}`;

if (process.argv[2] !== "--check") writeFileSync(join(root, target), text);
else if (read(target) !== text) fail(`${target} is stale. Run \`node tools/rules.mjs\` and commit the result`);
