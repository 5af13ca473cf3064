// Drives a devnet and the page of its first node, as a person would who has five minutes: a deposit is swept and proven, then one
// operator lies and one is dead, then Bitcoin's server is. Each must show within two windows: on the page, in /health and in
// `coxswain why`, at the width of a desk and of a phone. Nothing may be said on the console, and axe-core may find nothing.
// devnet.mjs TOOLS PROGRAMS. Run by `make test-peers`; PAGE_SHOTS=FOLDER keeps the screenshots.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { join, resolve } from "node:path";
import { looks, open, shoot, textOf } from "./pages.mjs";

const [tools, programs] = process.argv.slice(2);
const BASE = 19_400;
// As a devnet has it, unless told otherwise: a window takes a minute.
const PACE = Number(process.env.DEVNET_PACE || 1000);
const WINDOW = 60 * PACE;

const folder = mkdtempSync(join(tmpdir(), "devnet-"));
const devnet = spawn(
  resolve(programs, "coxswain-devnet"),
  ["--port-base", String(BASE), "--pace", String(PACE), "--dir", folder],
  { stdio: ["pipe", "pipe", "inherit"] },
);
const ended = new Promise((done) => devnet.once("exit", (code) => done(code)));
// However this ends, nothing is left behind.
process.on("exit", () => devnet.kill("SIGINT"));
const order = (text) => devnet.stdin.write(`${text}\n`);
const program = (name, ...args) => execFileSync(resolve(programs, name), args, {
  encoding: "utf8",
  env: { ...process.env, WORLD_ETHEREUM_URL: `http://127.0.0.1:${BASE}`, WORLD_BITCOIN_URL: `http://coxswain:secret@127.0.0.1:${BASE + 2}` },
});

let url;
for await (const line of createInterface({ input: devnet.stdout })) {
  url = line.match(/^page: (.*)$/)?.[1];
  if (url) break;
}
assert.ok(url, "the devnet's last line is the page's address");
const health = async () => {
  const answer = await fetch(new URL("/health", url));
  return [answer.status, (await answer.json()).entries];
};
const shown = async () => (await fetch(new URL("/page.json", url))).json();
const why = async () => program("coxswain", "why", (await shown()).wallets[0].wallet, "--config", join(folder, "node1.toml"));

// Asks until all of it is so, for a few windows at most. Gives the time that it took, in windows.
async function until(what, isSo, windows) {
  const start = Date.now();
  let last;
  while (Date.now() - start < windows * WINDOW) {
    last = await isSo().then((so) => so || "not yet", (error) => error.message);
    if (last === true) return ((Date.now() - start) / WINDOW).toFixed(1);
    await new Promise((done) => setTimeout(done, 500));
  }
  assert.fail(`${what}: not within ${windows} windows: ${last}\n${JSON.stringify(await shown(), null, 1)}\n${await why()}`);
}
const says = async (...words) => {
  const [text, wide, narrow] = [await why(), await textOf(pages[0][0]), await textOf(pages[1][0])];
  for (const [where, all] of [["page", wide], ["narrow page", narrow], ["why", text]]) {
    for (const word of words.filter(([at]) => where.endsWith(at)).flatMap(([, ...rest]) => rest)) {
      assert.ok(all.includes(word), `${where} lacks ${JSON.stringify(word)}`);
    }
  }
  return true;
};

// Holds what `coxswain watch` tells from the chains alone against what all journals have: each leader right, each action that left a
// trace named in its window, and no window said to be followed that no journal has an action of.
async function watched() {
  const wallet = (await shown()).wallets[0].wallet;
  const [ethereum, electrum, core] = [BASE, BASE + 1, BASE + 2].map((port) => `127.0.0.1:${port}`);
  const bridge = readFileSync(join(folder, "env"), "utf8").match(/BRIDGE='(0x\w+)'/)[1];
  const lines = program(
    "coxswain", "watch", "--json", "--since", "1", "--wallet", wallet, "--operators", join(folder, "group.txt"), "--bridge", bridge,
    "--rpc-url", `http://${ethereum}`, "--bitcoin-url", `tcp://${electrum}`, "--bitcoin-url", `http://coxswain:secret@${core}`,
  ).trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.kind === "window");
  const journals = [1, 2, 3, 4, 5].map((number) => {
    const text = program("coxswain", "history", "--json", "--config", join(folder, `node${number}.toml`));
    return new Map(JSON.parse(text).wallets[0].windows.map((window) => [window.window, window]));
  });
  let actions = 0;
  for (const line of lines) {
    const known = journals.map((journal) => journal.get(line.window)).filter((window) => window);
    for (const window of known) assert.equal(window.leader, line.leader, `window ${line.window}: who leads`);
    const agreed = known.find((window) => window.outcome === "action" && ["confirmed", "proven"].includes(window.action));
    const deed = agreed?.says.replace("action: ", "");
    if (deed) {
      actions += 1;
      const named = line.traces.some((trace) => trace.deed === deed);
      assert.ok(named, `window ${line.window}: ${deed} is not named: ${JSON.stringify(line)}`);
    } else if (known.length > 0 && !known.some((window) => window.outcome === "action")) {
      assert.notEqual(line.outcome, "followed", `window ${line.window}: no journal has an action: ${JSON.stringify(line)}`);
    }
  }
  return [lines.length, actions];
}

const { browser, pages, told, axe } = await open(tools, url);
let checks = 0;
const look = async (name) => {
  for (const [page, width] of pages) {
    checks += await looks(axe, page, width);
    await shoot(page, `devnet-${name}-${width}`);
  }
};

try {
  const connected = async (count) => (await shown()).operators.filter((of) => of.connected).length === count;
  await until("all are connected", () => connected(4), 4);
  program("coxswain-world", "advance", "2h");
  const swept = await until("a sweep is proven", () => says(["page", "action: deposit-sweep; proven"]), 8);
  assert.equal((await health())[0], 200);
  await look("swept");

  const address = async (number) => (await (await fetch(`http://127.0.0.1:${BASE + 20 + number}/page.json`)).json()).operator;
  const [dead, liar] = [await address(4), await address(5)];
  order("kill node4");
  order("lie node5");
  const blamed = await until("a liar is blamed, the dead is missed", async () => {
    const [status, entries] = await health();
    assert.equal(status, 200, "the others do without them");
    const entry = (name, subject) => entries.find((of) => of.name === name && of.subject === subject);
    assert.match(entry("peers").says, /3 of the wallets' 4 other operators/);
    assert.equal(entry("operator", liar)?.state, "warning");
    return says(["page", "NOT CONNECTED", "FAULT: leader ", `by ${liar}`, "LOOK: operator"], ["why", dead, liar, "leader "]);
  }, 3);
  await look("liar");

  for (const part of ["node4", "node5"]) order(`start ${part}`);
  await until("all are connected again", () => connected(4), 2);
  order("kill electrum");
  const warned = await until("a server is gone", async () => {
    const entry = (await health())[1].find((of) => of.name === "bitcoin_endpoint" && of.subject.endsWith(`:${BASE + 1}`));
    assert.equal(entry.state, "warning");
    const server = `bitcoin_endpoint 127.0.0.1:${BASE + 1}`;
    return says(["page", `LOOK: ${server}`], ["why", `warning: ${server}`]);
  }, 2);
  order("kill core");
  const gone = await until("Bitcoin is gone", async () => {
    const [status, entries] = await health();
    assert.equal(status, 503);
    assert.equal(entries.find((of) => of.name === "bitcoin").state, "failed");
    for (const [page] of pages) assert.match(await page.title(), /^FAILED: /);
    return says(["page", "FAILED: bitcoin", "0 of 2 servers answer"], ["why", "failed: bitcoin", "0 of 2 servers answer"]);
  }, 3);
  await look("no-bitcoin");

  for (const part of ["electrum", "core"]) order(`start ${part}`);
  const well = await until("all is well again", async () => (await health())[0] === 200 && connected(4), 4);
  const [windows, actions] = await watched();
  assert.deepEqual(told, [], "nothing is said on the console");
  console.log(`devnet: a sweep proven after ${swept} windows, liar and dead shown after ${blamed}, a dead server after ${warned}, no Bitcoin after ${gone}, well again after ${well}; watch and five journals agree on ${windows} windows, ${actions} with an action; ${checks} looks by axe-core found nothing, no word on the console`);
} finally {
  await browser.close();
  devnet.kill("SIGINT");
  const code = await ended;
  rmSync(folder, { recursive: true });
  assert.equal(code, 0, "it ends when it is told to");
}
