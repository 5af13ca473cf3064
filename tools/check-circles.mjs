#!/usr/bin/env node
// Fails when sibling modules of a crate depend on each other in a circle: `node tools/check-circles.mjs`.
//
// Reads `use` declarations and paths of every source file (inline tests left out), follows re-exports to the module that
// an item is defined in, and looks for circles among the children of each module. Says which names make each circle.

import { readFileSync, readdirSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), "..");

/** The file's code: no comments, strings or inline tests. */
function code(file) {
  const text = readFileSync(file, "utf8")
    .replace(/"(?:[^"\\]|\\[^])*"/g, '""')
    .replace(/\/\/.*$/gm, "")
    .replace(/\/\*[^]*?\*\//g, "");
  return text.replace(/#\[cfg\(test\)\]\s*mod \w+ \{[^]*?^\}/gm, "");
}

/** All module files of a crate, as { path: ["a", "b"], code }. */
function modules(source) {
  const found = [];
  const visit = (folder, path) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const name = entry.name.replace(/\.rs$/, "");
      const file = join(folder, entry.name);
      if (entry.isDirectory()) {
        visit(file, [...path, name]);
      } else if (entry.name.endsWith(".rs") && !["main", "lib"].includes(name)) {
        found.push({ path: name === "mod" ? path : [...path, name], code: code(file) });
      }
    }
  };
  visit(source, []);
  const top = ["lib.rs", "main.rs"].map((name) => join(source, name)).find(existsSync);
  found.push({ path: [], code: code(top) });
  return new Map(found.map((module) => [module.path.join("::"), module]));
}

/** The plain paths of a `use` tree: `a::{b, c::{d, e as f}}` gives a::b, a::c::d, a::c::e. */
function paths(tree) {
  const brace = tree.indexOf("{");
  if (brace < 0) return [tree.replace(/\s+as\s+\w+/, "").replace(/\s/g, "")];
  const prefix = tree.slice(0, brace).replace(/\s/g, "");
  const inner = tree.slice(brace + 1, tree.lastIndexOf("}"));
  const parts = [];
  let [depth, start] = [0, 0];
  for (let at = 0; at <= inner.length; at++) {
    if (inner[at] === "{") depth++;
    if (inner[at] === "}") depth--;
    if (at === inner.length || (inner[at] === "," && depth === 0)) {
      const part = inner.slice(start, at).trim();
      if (part) parts.push(part);
      start = at + 1;
    }
  }
  return parts.flatMap(paths).map((path) => prefix + path);
}

/** What a module refers to within its crate, as absolute paths. */
function references({ path, code }) {
  const uses = [...code.matchAll(/\buse\s+([^;]+);/g)].flatMap((match) => paths(match[1]));
  const inline = [...code.replace(/\buse\s+[^;]+;/g, "").matchAll(/\b(?:crate|super|self)(?:::\w+)+/g)];
  return [...uses, ...inline.map((match) => match[0])].flatMap((reference) => {
    const segments = reference.split("::");
    let at = path;
    if (segments[0] === "crate") at = [];
    else if (segments[0] === "super") {
      while (segments[1] === "super") {
        segments.shift();
        at = at.slice(0, -1);
      }
      at = at.slice(0, -1);
    } else if (segments[0] !== "self") return [];
    return [[...at, ...segments.slice(1)]];
  });
}

/** Where names that a module re-exports come from. */
function reexports({ path, code }) {
  const names = new Map();
  for (const [, tree] of code.matchAll(/\bpub(?:\([^)]*\))?\s+use\s+([^;]+);/g)) {
    for (const source of paths(tree)) {
      const segments = source.split("::");
      if (segments[0] === "crate") segments.shift();
      else if (segments[0] === "self") segments.splice(0, 1, ...path);
      else segments.unshift(...path);
      names.set(segments.at(-1), segments);
    }
  }
  return names;
}

/** The module that a path leads to, through re-exports. */
function resolve(path, all, exported, depth = 0) {
  let length = path.length;
  while (length > 0 && !all.has(path.slice(0, length).join("::"))) length--;
  const module = path.slice(0, length);
  const name = path[length];
  const source = name && exported.get(module.join("::"))?.get(name);
  if (!source || depth > 8) return module;
  return resolve(source, all, exported, depth + 1);
}

/** Groups of children that depend on each other. */
function circles(children, edges) {
  const reach = (from) => {
    const seen = new Set();
    const next = [from];
    while (next.length) {
      for (const to of edges.get(next.pop())?.keys() ?? []) if (!seen.has(to)) seen.add(to) && next.push(to);
    }
    return seen;
  };
  const reachable = new Map([...children].map((child) => [child, reach(child)]));
  const grouped = new Set();
  const groups = [];
  for (const child of [...children].sort()) {
    if (grouped.has(child) || !reachable.get(child).has(child)) continue;
    const group = [...children].filter((other) => reachable.get(child).has(other) && reachable.get(other).has(child));
    group.forEach((other) => grouped.add(other));
    groups.push(group.sort());
  }
  return groups;
}

let found = 0;
let count = 0;
for (const name of readdirSync(join(root, "crates")).sort()) {
  const source = join(root, "crates", name, "src");
  if (!existsSync(source)) continue;
  const all = modules(source);
  const exported = new Map([...all].map(([path, module]) => [path, reexports(module)]));
  const families = new Map();
  for (const module of all.values()) {
    count++;
    for (const reference of references(module)) {
      const target = resolve(reference, all, exported);
      let shared = 0;
      while (shared < module.path.length && module.path[shared] === target[shared]) shared++;
      const [from, to] = [module.path[shared], target[shared]];
      if (from === undefined || to === undefined) continue;
      const parent = module.path.slice(0, shared).join("::");
      if (!families.has(parent)) families.set(parent, new Map());
      const edges = families.get(parent);
      if (!edges.has(from)) edges.set(from, new Map());
      if (!edges.get(from).has(to)) edges.get(from).set(to, new Set());
      edges.get(from).get(to).add(reference.at(-1));
    }
  }
  for (const [parent, edges] of families) {
    const children = new Set([...edges.keys(), ...[...edges.values()].flatMap((to) => [...to.keys()])]);
    for (const group of circles(children, edges)) {
      found++;
      console.error(`${["coxswain", name].join("-")}${parent ? `::${parent}` : ""}: a circle of ${group.join(", ")}`);
      for (const from of group) {
        for (const [to, names] of edges.get(from) ?? []) {
          if (group.includes(to)) console.error(`    ${from} uses ${[...names].join(", ")} of ${to}`);
        }
      }
    }
  }
}
if (found) {
  console.error(`error: ${found} circle${found === 1 ? "" : "s"} between sibling modules`);
  process.exit(1);
}
console.log(`no circle between sibling modules, in ${count} modules`);
