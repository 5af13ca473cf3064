// What every check of the page has in common: headless Chromium at the width of a desk and of a phone, all that is said on the
// console or asked elsewhere, and what axe-core finds.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

const SIZES = [[1280, 900], [390, 844]];

// Opens the page at both widths, with what is installed in this folder.
export async function open(tools, url) {
  const require = createRequire(resolve(tools, "node_modules", "x"));
  const puppeteer = (await import(require.resolve("puppeteer-core"))).default;
  const axe = readFileSync(join(dirname(require.resolve("axe-core")), "axe.min.js"), "utf8");
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const told = [];
  const pages = [];
  for (const [width, height] of SIZES) {
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
    pages.push([page, width]);
  }
  return { browser, pages, told, axe };
}

export const textOf = (page) => page.evaluate(() => document.body.innerText);

// That nothing is wider than the screen, and axe-core finds nothing, light and dark. Gives how often it has looked.
export async function looks(axe, page, width) {
  await page.bringToFront();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, `${width}: nothing is wider than the screen`);
  for (const scheme of ["dark", "light"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    // As the developer's tools do: the page's own policy would keep it out.
    await page.evaluate(axe);
    const { violations, passes } = await page.evaluate(() => window.axe.run());
    const said = violations.map((of) => `${of.id}: ${of.help}: ${of.nodes.map((node) => node.html).join(" | ")}`);
    assert.deepEqual(said, [], `axe-core at ${width}, ${scheme}`);
    assert.ok(passes.length > 20, "axe-core has looked at the page");
  }
  return 2;
}

// Keeps a screenshot of the whole page, if PAGE_SHOTS names a folder.
export async function shoot(page, name) {
  if (!process.env.PAGE_SHOTS) return;
  await page.evaluate(() => {
    scrollTo(0, 0);
    document.activeElement.blur();
    for (const box of document.querySelectorAll(".scroll")) box.scrollTop = 0;
  });
  await page.screenshot({ path: join(process.env.PAGE_SHOTS, `${name}.png`), fullPage: true });
}
