#!/usr/bin/env node
// What the project is built and audited with, as CycloneDX 1.5: `node tools/sbom.mjs` writes target/sbom/rust.cdx.json, npm.cdx.json
// and python.cdx.json, from the lock files alone. Each component has its version and, where the lock file tells it, its hash.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (path) => readFileSync(join(root, path), "utf8");
const hex = (base64) => Buffer.from(base64, "base64").toString("hex");

const component = (kind, name, version, hashes = []) => {
  const purl = `pkg:${kind}/${name.replace("@", "%40")}@${version}`;
  return { type: "library", "bom-ref": purl, name, version, purl, ...(hashes.length > 0 && { hashes }) };
};

// Packages without a source are the workspace's own.
const rust = read("Cargo.lock").split("[[package]]").slice(1).flatMap((text) => {
  const field = (name) => text.match(new RegExp(`^${name} = "(.*)"$`, "m"))?.[1];
  if (!field("source")) return [];
  const checksum = field("checksum");
  return [component("cargo", field("name"), field("version"), checksum && [{ alg: "SHA-256", content: checksum }])];
});

const npm = Object.entries(JSON.parse(read("package-lock.json")).packages).filter(([path]) => path !== "").map(([path, entry]) => {
  const name = entry.name ?? path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  const [algorithm, digest] = entry.integrity?.split("-") ?? [];
  return component("npm", name, entry.version, digest && [{ alg: algorithm.replace("sha", "SHA-"), content: hex(digest) }]);
});

// A package has a hash for each platform's file: which one is installed, only the installation tells. So none is named.
const python = ["audit/requirements.txt", "tools/electrumx.txt"].flatMap((path) =>
  [...read(path).matchAll(/^([\w.-]+)==([^\s;\\]+)/gm)].map(([, name, version]) => component("pypi", name.toLowerCase(), version)),
);

const folder = join(root, "target/sbom");
mkdirSync(folder, { recursive: true });
const { version } = JSON.parse(read("package.json"));
for (const [name, all] of Object.entries({ rust, npm, python })) {
  if (all.length === 0) throw new Error(`no component of ${name}`);
  const components = [...new Map(all.map((each) => [each.purl, each])).values()].sort((a, b) => (a.purl < b.purl ? -1 : 1));
  const metadata = { component: { type: "application", "bom-ref": "coxswain", name: "coxswain", version } };
  const bom = { $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json", bomFormat: "CycloneDX", specVersion: "1.5", version: 1, metadata, components };
  writeFileSync(join(folder, `${name}.cdx.json`), `${JSON.stringify(bom, null, 2)}\n`);
  console.log(`target/sbom/${name}.cdx.json: ${components.length} components`);
}
