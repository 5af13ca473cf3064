#!/usr/bin/env node
// The snapshots of ABIs, and of code, that the Rust bindings are generated from: `node tools/abi.mjs` writes them,
// `--check` fails when one is stale. They are committed, so that `cargo build` needs neither forge nor npm.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
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
      "pendingRedemptions", "redemptionParameters", "spentMainUTXOs", "timedOutRedemptions", "treasury",
      "txProofDifficultyFactor", "walletParameters", "wallets",
      // What has happened.
      "DepositRevealed", "DepositsSwept", "MovedFundsSwept", "MovingFundsCommitmentSubmitted", "MovingFundsCompleted",
      "NewWalletRegistered", "RedemptionRequested", "RedemptionTimedOut", "RedemptionsCompleted", "WalletClosed",
      "WalletClosing", "WalletMovingFunds", "WalletTerminated",
      // What depositors, redeemers, operators and maintainers do.
      "notifyRedemptionTimeout", "requestRedemption", "revealDeposit", "revealDepositWithExtraData", "submitDepositSweepProof",
      "submitMovedFundsSweepProof", "submitMovingFundsCommitment", "submitMovingFundsProof", "submitRedemptionProof",
      // What governance and the wallet registry do, for the testkit's own Bridge.
      "__ecdsaWalletCreatedCallback", "__ecdsaWalletHeartbeatFailedCallback", "initialize", "setRedemptionWatchtower",
      "setSpvMaintainerStatus", "setVaultStatus", "updateDepositParameters", "updateMovingFundsParameters",
      "updateRedemptionParameters", "updateWalletParameters",
    ],
  },
  {
    file: "MaintainerProxy.json",
    source: "node_modules/@keep-network/tbtc-v2/build/contracts/maintainer/MaintainerProxy.sol/MaintainerProxy.json",
    comesFrom: "npm install",
    only: [
      // What is read.
      "allSpvMaintainers", "bridge", "isSpvMaintainer", "reimbursementPool",
      // What a maintainer does.
      "submitDepositSweepProof", "submitMovedFundsSweepProof", "submitMovingFundsProof", "submitRedemptionProof",
      // What governance does, for the testkit's own.
      "authorizeSpvMaintainer", "unauthorizeSpvMaintainer",
    ],
  },
  {
    file: "LightRelay.json",
    source: "node_modules/@keep-network/tbtc-v2/build/contracts/relay/LightRelay.sol/LightRelay.json",
    comesFrom: "npm install",
    only: [
      // What is read.
      "authorizationRequired", "currentEpoch", "genesisEpoch", "getCurrentEpochDifficulty",
      "getPrevEpochDifficulty", "isAuthorized", "proofLength", "ready",
      // What a maintainer does.
      "retarget",
      // What governance does, for the testkit's own.
      "authorize", "genesis", "setAuthorizationStatus",
    ],
  },
  {
    file: "LightRelayMaintainerProxy.json",
    source:
      "node_modules/@keep-network/tbtc-v2/build/contracts/relay/LightRelayMaintainerProxy.sol/LightRelayMaintainerProxy.json",
    comesFrom: "npm install",
    only: [
      // What is read.
      "isAuthorized", "lightRelay", "reimbursementPool",
      // What a maintainer does.
      "retarget",
      // What governance does, for the testkit's own.
      "authorize",
    ],
  },
  {
    file: "WalletRegistry.json",
    packed: "package/artifacts/WalletRegistry.json",
    only: [
      "eligibleStake", "getWallet", "operatorToStakingProvider", "sortitionPool", "DkgResultSubmitted", "WalletCreated",
    ],
  },
  {
    file: "EcdsaSortitionPool.json",
    packed: "package/artifacts/EcdsaSortitionPool.json",
    only: ["getIDOperators"],
  },
];

// Its dependencies can't all be installed, so that only its archive is fetched, and nothing of it but artifacts is read.
const ecdsa = {
  name: "@keep-network/ecdsa@2.0.1",
  archive: "target/npm/keep-network-ecdsa-2.0.1.tgz",
  integrity: "sha512-51Ef0FGak9dzuTF4e80ed1G2+3v+kQYPieYa3hX7eKg3XG0/C/xOtMSpIOxU7IMdYBHeeH+hRIqDiL5AuOidOg==",
};

function fail(message) {
  console.error(`abi: ${message}`);
  process.exit(1);
}

function unpacked(path) {
  const archive = join(root, ecdsa.archive);
  const intact = () => {
    const read = committed(archive, null);
    return read && "sha512-" + createHash("sha512").update(read).digest("base64") === ecdsa.integrity;
  };
  if (!intact()) {
    mkdirSync(dirname(archive), { recursive: true });
    execFileSync("npm", ["pack", "--silent", "--pack-destination", dirname(archive), ecdsa.name], { stdio: "ignore" });
    if (!intact()) fail(`${ecdsa.name} is not what it was`);
  }
  return execFileSync("tar", ["-xzOf", archive, path], { encoding: "utf8", maxBuffer: 64 << 20 });
}

function snapshot({ file, source, packed, comesFrom, only, creationCode }) {
  let artifact;
  try {
    artifact = packed ? unpacked(packed) : readFileSync(join(root, source), "utf8");
  } catch {
    if (packed) fail(`${ecdsa.name} can't be fetched, which ${file} is made from`);
    fail(`${source} is missing, which ${file} is made from: run \`${comesFrom}\` first`);
  }
  const { abi, bytecode } = JSON.parse(artifact);
  const missing = (only ?? []).filter((name) => !abi.some((item) => item.name === name));
  if (missing.length > 0) fail(`${source ?? packed} has no ${missing.join(", ")}, which ${file} should hold`);
  const kept = only ? abi.filter((item) => only.includes(item.name)) : abi;
  return JSON.stringify(creationCode ? { abi: kept, bytecode: bytecode.object } : kept, null, 2) + "\n";
}

function committed(path, encoding = "utf8") {
  try {
    return readFileSync(path, encoding);
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
