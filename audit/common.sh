# What the audit's scripts share: a strict shell at the project's root, forge, and the pinned tools, installed once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export FORGE="${FORGE:-node_modules/@foundry-rs/forge-linux-amd64/bin/forge}"
mkdir -p target/audit

# fail TECHNIQUE MESSAGE
fail() {
  echo "$1: FAILED: $2"
  exit 1
}

venv() {
  if [[ ! -f .venv/.ready || audit/requirements.txt -nt .venv/.ready ]]; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r audit/requirements.txt
    touch .venv/.ready
  fi
}
