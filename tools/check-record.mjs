#!/usr/bin/env node
// Compares the transaction and the block that a deployment's record tells with the chain, as far as the node still has them:
// `node tools/check-record.mjs VALIDATOR RPC_URL`. Code, Bridge and the rest of the record are for script/Deploy.s.sol to verify.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const [validator, url] = process.argv.slice(2);

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

async function ask(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  try {
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { result, error } = await response.json();
    if (error) throw new Error(error.message);
    return result;
  } catch (error) {
    return fail(`the node doesn't answer ${method}: ${error.message}`);
  }
}

if (!validator || !url) fail("usage: node tools/check-record.mjs VALIDATOR RPC_URL");
const path = join(root, process.env.DEPLOYMENTS ?? "deployments", `${Number(await ask("eth_chainId"))}.json`);
const record = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
// What there is no record of, the script has told already.
if (record?.address.toLowerCase() !== validator.toLowerCase()) process.exit(0);
if (!record.transaction) {
  console.log(`the record tells no transaction: ${path}`);
  process.exit(0);
}

const [transaction, receipt] = [
  await ask("eth_getTransactionByHash", record.transaction),
  await ask("eth_getTransactionReceipt", record.transaction),
];
if (!transaction || !receipt) {
  console.log(`not checked, the node has no transaction ${record.transaction}: it never had, or no longer has it`);
  process.exit(0);
}
if (Number(receipt.blockNumber) !== record.block) {
  fail(`${path}: block ${record.block}, but the transaction is in ${Number(receipt.blockNumber)}`);
}
if (Number(receipt.status) !== 1) fail(`${path}: transaction ${record.transaction} failed`);
const { bytecode } = JSON.parse(readFileSync(join(root, "out/WalletProposalValidator.sol/WalletProposalValidator.json"), "utf8"));
const deployed = record.salt + bytecode.object.slice(2) + record.constructorArguments.slice(2);
const byFactory = transaction.to?.toLowerCase() === record.factory.toLowerCase() && transaction.input === deployed;
if (!byFactory) fail(`${path}: transaction ${record.transaction} isn't the one that deploys this build for its Bridge`);
console.log(`its transaction and block verified: ${record.transaction} in ${record.block}`);
