// Drives the status page in headless Chromium, at the width of a desk and of a phone: through a window that ends with a fault and
// an alarm, which come as events. Nothing may be said on the console, and axe-core may find nothing.
// Run by `make test-peers`; PAGE_SHOTS=FOLDER keeps the screenshots.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { dirname, join, resolve } from "node:path";

const require = createRequire(resolve(process.argv[2], "node_modules", "x"));
const puppeteer = (await import(require.resolve("puppeteer-core"))).default;
const axe = readFileSync(join(dirname(require.resolve("axe-core")), "axe.min.js"), "utf8");

// The server says where it is, and shows the next state at each line that it reads.
const server = spawn(resolve(process.argv[3]), { stdio: ["pipe", "pipe", "inherit"] });
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
const url = (await lines.next()).value;

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
let checks = 0;
const told = [];

async function finds(page, width, scheme) {
  // As the developer's tools do: the page's own policy would keep it out.
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => window.axe.run());
  const said = violations.map((of) => `${of.id}: ${of.help}: ${of.nodes.map((node) => node.html).join(" | ")}`);
  assert.deepEqual(said, [], `axe-core at ${width}, ${scheme}`);
  assert.ok(passes.length > 20, "axe-core has looked at the page");
  checks += 1;
}

try {
  const pages = [];
  for (const [width, height] of [[1280, 900], [390, 844]]) {
    const page = await browser.newPage();
    await page.setViewport({ width, height });
    page.on("console", (message) => told.push(`${width}: ${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => told.push(`${width}: ${error}`));
    page.on("requestfailed", (request) => told.push(`${width}: ${request.url()}: ${request.failure()?.errorText}`));
    page.on("request", (request) => {
      const other = !request.url().startsWith(url) && !request.url().startsWith("data:");
      if (other) told.push(`${width}: it asks elsewhere: ${request.url()}`);
    });
    await page.goto(url, { waitUntil: "domcontentloaded" });
    await page.waitForFunction(() => document.getElementById("clock").textContent.includes("active: the leader may speak"));
    const text = await page.evaluate(() => document.body.innerText);
    assert.match(text, /None: all is well/);
    assert.match(text, /Free: no action runs/);
    pages.push([page, width]);
  }

  server.stdin.write("next\n");
  for (const [page, width] of pages) {
    await page.bringToFront();
    await page.waitForFunction(() => document.getElementById("alarms").textContent.includes("FAILED"));
    const text = await page.evaluate(() => document.body.innerText);
    for (const words of ["over: its actions run", "FAULT: leader mistake: RD-7 <script>alert(1)</script>, by 0x", "What to do: start it again", "Busy with redemption", "NOT CONNECTED", "<img src=x onerror=alert(1)>"]) {
      assert.ok(text.includes(words), `${width}: ${words}\n${text}`);
    }
    assert.match(await page.title(), /^FAILED: /);
    assert.equal(await page.evaluate(() => document.querySelectorAll("img, iframe, body script[src]").length), 0, "what a peer says is text");
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(overflow, 0, `${width}: nothing is wider than the screen`);
    for (const scheme of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await finds(page, width, scheme);
    }
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);

    // By keyboard: the first stop leads past the alarms, and a table is scrolled and keeps its place when it is told anew.
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Go to the wallets");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    const label = () => page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    assert.match(await label(), /^The last windows of wallet 0x/);
    await page.keyboard.press("End");
    await page.waitForFunction(() => {
      const box = document.activeElement;
      return box.scrollTop > 0 && box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
    });
    const before = await page.evaluate(() => document.activeElement.scrollTop);
    await page.evaluate(() => { window.was = document.querySelector(".scroll"); });
    server.stdin.write("next\n");
    await page.waitForFunction(() => document.querySelector(".scroll") !== window.was);
    assert.match(await label(), /^The last windows of wallet 0x/);
    assert.ok(Math.abs(await page.evaluate(() => document.activeElement.scrollTop) - before) < 2);
    // A screen reader is not told each block: only what changes.
    assert.equal(await page.evaluate(() => document.getElementById("live").textContent), "Live.");
    if (process.env.PAGE_SHOTS) {
      await page.evaluate(() => { scrollTo(0, 0); document.activeElement.blur(); for (const box of document.querySelectorAll(".scroll")) box.scrollTop = 0; });
      await page.screenshot({ path: join(process.env.PAGE_SHOTS, `page-${width}.png`), fullPage: true });
    }
  }
  assert.deepEqual(told, [], "nothing is said on the console");
  console.log(`page: 1280 and 390 pixels, light and dark: ${checks} looks by axe-core found nothing, no word on the console`);
} finally {
  await browser.close();
  server.kill();
}
