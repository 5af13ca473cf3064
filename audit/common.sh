# What the audit's scripts share: a strict shell at the project's root, the contracts as they are here, built, and forge.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export FOUNDRY_PROFILE=default
FORGE=$(make --no-print-directory forge) || { echo "the contracts don't build, or forge isn't there"; exit 1; }
mkdir -p target/audit

# fail TECHNIQUE MESSAGE
fail() {
  echo "$1: FAILED: $2"
  exit 1
}
