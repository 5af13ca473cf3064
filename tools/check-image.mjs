// Carries out deploy/Dockerfile without a container engine: each of its stages in a fresh Debian made by mmdebstrap, which has nothing
// of this machine but Rust, the files that the stage copies, and the certificates that downloads are checked against. Then runs the
// program as a container would: as the image's user, without a capability, on a root that can't be written to.
// node tools/check-image.mjs [PROFILE]: `dev` takes a fraction of the time. Needs mmdebstrap, and root or user namespaces.

import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const profile = process.argv[2] ?? "release";
const ask = (program, ...args) => execFileSync(program, args, { cwd: root, encoding: "utf8" }).trim();
const fail = (what) => {
  console.error(`error: ${what}`);
  process.exit(1);
};
if (spawnSync("mmdebstrap", ["--version"]).error) fail("the image's check needs mmdebstrap: apt-get install mmdebstrap");

// Outside of what a build in a container could see. Whoever mmdebstrap maps to root must find what is copied.
const work = mkdtempSync(join(tmpdir(), "image-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
chmodSync(work, 0o755);
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A Dockerfile as far as ours needs it: one instruction a line, once comments are gone and lines are joined.
const lines = readFileSync(join(root, "deploy/Dockerfile"), "utf8").replaceAll(/^\s*#.*\n/gm, "").replaceAll(/\\\n\s*/g, "").split("\n");
const variables = {};
const stages = [];
for (const line of lines.filter((line) => line.trim())) {
  const [instruction, ...words] = line.split(/\s+/);
  const rest = words.join(" ");
  const stage = stages.at(-1);
  switch (instruction) {
    case "ARG": {
      const [name, value] = rest.split("=");
      if (stage) stage.steps.push({ variable: name });
      else variables[name] = value;
      break;
    }
    case "FROM": {
      const image = words[0].replace(/^\$\{(\w+)\}$/, (_, name) => variables[name] ?? fail(`there is no ${name}`));
      const suite = image.match(/\b(bookworm|trixie|forky)\b/)?.[1] ?? fail(`of which Debian is ${image}?`);
      stages.push({ image, suite, name: words[2], steps: [], user: "0:0", folder: "/" });
      break;
    }
    case "WORKDIR":
      stage.folder = rest;
      break;
    case "COPY": {
      const from = words[0].match(/^--from=(.*)$/)?.[1];
      const [sources, to] = [words.slice(from ? 1 : 0, -1), words.at(-1)];
      if (!from && to !== "./" && sources.some((source) => source !== to)) fail(`copying to another name is not understood: ${line}`);
      stage.steps.push(from ? { from, path: sources[0], to } : { copies: sources, folder: stage.folder });
      break;
    }
    case "RUN":
      stage.steps.push({ runs: rest, folder: stage.folder });
      break;
    case "USER":
      stage.user = rest;
      break;
    case "VOLUME":
      stage.volume = rest;
      break;
    case "ENTRYPOINT":
      [stage.program] = JSON.parse(rest);
      break;
    case "EXPOSE":
    case "STOPSIGNAL":
      break;
    default:
      fail(`the instruction is not understood: ${line}`);
  }
}

// What mmdebstrap does in a stage, and hands out for the stages behind it.
const kept = (name, path) => join(work, `${name}${path.replaceAll("/", "-")}`);
function hooks(stage, number) {
  const all = [];
  const inside = (script) => all.push(`chroot "$1" sh -c ${quoted(script)}`);
  if (stage.image.startsWith("rust:")) {
    const rust = ask("rustc", "--print", "sysroot");
    all.push(`copy-in ${rust}/bin ${rust}/lib /usr/local`);
    const trusted = process.env.SSL_CERT_FILE ?? "/etc/ssl/certs/ca-certificates.crt";
    if (existsSync(trusted)) all.push(`upload ${trusted} /etc/ssl/certs/ca-certificates.crt`);
  }
  let set = "";
  for (const [index, step] of stage.steps.entries()) {
    if (step.variable) {
      set += `export ${step.variable}=${profile}; `;
    } else if (step.copies) {
      const tar = join(work, `${number}-${index}.tar`);
      const files = ask("git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", ...step.copies);
      execFileSync("tar", ["--create", "--file", tar, "--files-from", "-"], { cwd: root, input: files });
      inside(`mkdir -p ${step.folder}`);
      all.push(`tar-in ${tar} ${step.folder}`);
    } else if (step.from) {
      all.push(`upload ${kept(step.from, step.path)} ${step.to}`);
      inside(`chmod 0755 ${step.to}`);
    } else {
      inside(`set -e; ${set}export CARGO_HOME=/usr/local/cargo; mkdir -p ${step.folder}; cd ${step.folder}; ${step.runs}`);
    }
  }
  const wanted = stages.flatMap(({ steps }) => steps).filter(({ from }) => from && from === stage.name);
  for (const { from, path } of wanted) all.push(`download ${path} ${kept(from, path)}`);
  if (stage.program) all.push(`unshare --mount sh ${tried(stage)} "$1"`);
  return all.map((hook) => `--customize-hook=${hook}`);
}

// The script that tries the program as a container would run it.
function tried({ program, user, volume, folder }) {
  const [uid, gid] = user.split(":");
  const privileges = `setpriv --reuid ${uid} --regid ${gid} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all`;
  const as = (script) => `chroot "$1" ${privileges} env -i sh -c ${quoted(`cd ${folder} && ${script}`)}`;
  const path = join(work, "try");
  writeFileSync(path, `set -eu
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
mount --bind "$1${volume}" "$1${volume}" && mount -o remount,bind,rw "$1${volume}"
${as(`${program} --version && ${program} --help >help && test -s help && rm help`)}
if ${as("echo written >/written")} 2>/dev/null; then echo "error: the image's user can write to its root" >&2; exit 1; fi
`);
  return path;
}

for (const [number, stage] of stages.entries()) {
  console.error(`image: stage ${number + 1} of ${stages.length}, as on ${stage.image}`);
  // What the image of Rust has beside Debian.
  const include = stage.image.startsWith("rust:") ? ["--include=ca-certificates,gcc,libc6-dev"] : [];
  // Nothing of it outlives the check, so nothing needs to reach the disk.
  const args = ["--quiet", "--variant=minbase", "--format=null", "--dpkgopt=force-unsafe-io", ...include, ...hooks(stage, number), stage.suite, "/dev/null"];
  // For root it mounts in our own namespace, where an interruption would leave it mounted.
  const own = process.getuid() === 0 ? ["unshare", "--mount", "mmdebstrap"] : ["mmdebstrap"];
  const { status } = spawnSync(own[0], [...own.slice(1), ...args], { cwd: work, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) fail(`stage ${number + 1} fails`);
}
console.log(`image: ${stages.length} stages of deploy/Dockerfile hold, profile ${profile}; the program runs as ${stages.at(-1).user} on a root that it can't write to`);
