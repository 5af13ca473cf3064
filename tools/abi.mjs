#!/usr/bin/env node
// The snapshots of ABIs, and of code, that the Rust bindings are generated from: `node tools/abi.mjs` writes them,
// `--check` fails when one is stale. They are committed, so that `cargo build` needs neither forge nor npm.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = "crates/bindings/abi";

// `only` names the functions, events and errors to keep; without it, the whole ABI is kept. `creationCode` keeps that too:
// our nodes run it.
const snapshots = [
  {
    file: "WalletProposalValidator.json",
    source: "out/WalletProposalValidator.sol/WalletProposalValidator.json",
    comesFrom: "npx forge build",
  },
  {
    file: "BridgeSnapshot.json",
    source: "out/BridgeSnapshot.sol/BridgeSnapshot.json",
    comesFrom: "npx forge build",
    creationCode: true,
  },
  {
    file: "Bridge.json",
    source: "node_modules/@keep-network/tbtc-v2/build/contracts/bridge/Bridge.sol/Bridge.json",
    comesFrom: "npm install",
    only: [
      // What is read.
      "activeWalletPubKeyHash", "contractReferences", "depositParameters", "deposits", "getRedemptionWatchtower",
      "governance", "isVaultTrusted", "liveWalletsCount", "movedFundsSweepRequests", "movingFundsParameters",
      "pendingRedemptions", "redemptionParameters", "spentMainUTXOs", "treasury", "txProofDifficultyFactor",
      "walletParameters", "wallets",
      // What has happened.
      "DepositRevealed", "DepositsSwept", "MovedFundsSwept", "MovingFundsCommitmentSubmitted", "MovingFundsCompleted",
      "NewWalletRegistered", "RedemptionRequested", "RedemptionTimedOut", "RedemptionsCompleted", "WalletClosed",
      "WalletClosing", "WalletMovingFunds", "WalletTerminated",
      // What depositors, redeemers, operators and maintainers do.
      "requestRedemption", "revealDeposit", "revealDepositWithExtraData", "submitDepositSweepProof",
      "submitMovedFundsSweepProof", "submitMovingFundsCommitment", "submitMovingFundsProof", "submitRedemptionProof",
      // What governance and the wallet registry do, for the testkit's own Bridge.
      "__ecdsaWalletCreatedCallback", "__ecdsaWalletHeartbeatFailedCallback", "initialize", "setRedemptionWatchtower",
      "setSpvMaintainerStatus", "setVaultStatus", "updateDepositParameters", "updateMovingFundsParameters",
      "updateRedemptionParameters", "updateWalletParameters",
    ],
  },
];

function fail(message) {
  console.error(`abi: ${message}`);
  process.exit(1);
}

function snapshot({ file, source, comesFrom, only, creationCode }) {
  let artifact;
  try {
    artifact = readFileSync(join(root, source), "utf8");
  } catch {
    fail(`${source} is missing, which ${file} is made from: run \`${comesFrom}\` first`);
  }
  const { abi, bytecode } = JSON.parse(artifact);
  const missing = (only ?? []).filter((name) => !abi.some((item) => item.name === name));
  if (missing.length > 0) fail(`${source} has no ${missing.join(", ")}, which ${file} should hold`);
  const kept = only ? abi.filter((item) => only.includes(item.name)) : abi;
  return JSON.stringify(creationCode ? { abi: kept, bytecode: bytecode.object } : kept, null, 2) + "\n";
}

function committed(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

const [flag, ...rest] = process.argv.slice(2);
if (rest.length > 0 || (flag !== undefined && flag !== "--check")) fail("usage: node tools/abi.mjs [--check]");

const stale = [];
for (const each of snapshots) {
  const path = join(root, folder, each.file);
  const fresh = snapshot(each);
  if (committed(path) === fresh) continue;
  if (flag === "--check") stale.push(`${folder}/${each.file}`);
  else writeFileSync(path, fresh);
}
if (stale.length > 0) fail(`stale: ${stale.join(", ")}. Run \`node tools/abi.mjs\` and commit the result`);
