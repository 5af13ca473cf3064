// Drives the status page in headless Chromium, at the width of a desk and of a phone: through a window that ends with a fault and
// an alarm, which come as events. Nothing may be said on the console, and axe-core may find nothing.
// Run by `make test-peers`; PAGE_SHOTS=FOLDER keeps the screenshots.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { resolve } from "node:path";
import { looks, open, shoot, textOf } from "./pages.mjs";

// The server says where it is, and shows the next state at each line that it reads.
const server = spawn(resolve(process.argv[3]), { stdio: ["pipe", "pipe", "inherit"] });
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
const url = (await lines.next()).value;

const { browser, pages, told, axe } = await open(process.argv[2], url);
let checks = 0;

try {
  for (const [page] of pages) {
    await page.waitForFunction(() => document.getElementById("clock").textContent.includes("active: the leader may speak"));
    const text = await textOf(page);
    assert.match(text, /None: all is well/);
    assert.match(text, /Free: no action runs/);
  }

  server.stdin.write("next\n");
  for (const [page, width] of pages) {
    await page.bringToFront();
    await page.waitForFunction(() => document.getElementById("alarms").textContent.includes("FAILED"));
    const text = await textOf(page);
    for (const words of ["over: its actions run", "FAULT: leader mistake: RD-7 <script>alert(1)</script>, by 0x", "What to do: start it again", "Busy with redemption", "NOT CONNECTED", "<img src=x onerror=alert(1)>"]) {
      assert.ok(text.includes(words), `${width}: ${words}\n${text}`);
    }
    assert.match(await page.title(), /^FAILED: /);
    assert.equal(await page.evaluate(() => document.querySelectorAll("img, iframe, body script[src]").length), 0, "what a peer says is text");
    checks += await looks(axe, page, width);

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
    await shoot(page, `page-${width}`);
  }
  assert.deepEqual(told, [], "nothing is said on the console");
  console.log(`page: 1280 and 390 pixels, light and dark: ${checks} looks by axe-core found nothing, no word on the console`);
} finally {
  await browser.close();
  server.kill();
}
