# Everything a person runs. Each target installs what it needs and does nothing twice.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
comma := ,
.PHONY: help demo world devnet man release package deploy verify-deployment test test-contracts test-rust test-peers fuzz soak audit bench check-manifests check-image lint snapshots bindings explorer-bundle rules sbom check-bindings contracts validator forge clean

NODE_MIN := 20
RUST_MIN := 1.94.1
MAKE_MIN := 4.0

# The real binaries behind npm's launchers, which cost 0.2 s a call. FORGE=forge uses your own.
PLATFORM := $(shell node -p "process.platform + '-' + (process.arch === 'x64' ? 'amd64' : process.arch)" 2>/dev/null)
FORGE ?= node_modules/@foundry-rs/forge-$(PLATFORM)/bin/forge

NPM := node_modules/.package-lock.json
TOOLS := target/.tools-checked
VENV := .venv/.installed
SNAPSHOTS := target/snapshots

help: ## Show this list
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it
# Builds what one only tries, and beside it the contracts: $(call tried,WHAT,FLAGS). Shares are slow as tools/try.toml has it.
# What runs beside a shell hears no Ctrl-C: cargo is ended with the shell, also if the contracts don't compile.
define tried
@echo "building the $(1) (minutes at first, seconds afterwards)" >&2
@cargo build --locked $(if $(SHARES),,--config tools/try.toml) $(2) & programs=$$!; \
	trap "kill $$programs 2>/dev/null || :" EXIT; $(MAKE) --no-print-directory validator; wait $$programs
endef
# A world and the programs beside it: without the ten verdicts, which would have to wait for coxswain-cli.
BESIDE := --package coxswain-demo --package coxswain-cli --no-default-features
TRIED := $${CARGO_TARGET_DIR:-target}/debug

demo: $(TOOLS) ## Validate ten real proposals against the real Bridge on a local chain
	$(call tried,demo,--package coxswain-demo --bin coxswain-demo)
	@$(TRIED)/coxswain-demo

WORLD_FLAGS ?=
world: $(TOOLS) ## Run a world to try everything in, until Ctrl-C: chains, wallets, deposits, redemptions (WORLD_FLAGS=--once tries it out)
	$(call tried,world,$(BESIDE) --features coxswain-cli/default --bin coxswain-world --bin coxswain)
	@exec $(TRIED)/coxswain-world $(WORLD_FLAGS)

DEVNET_FLAGS ?=
SHARES ?=
devnet: $(TOOLS) ## Run five nodes of a wallet and a maintainer on local chains, until Ctrl-C, with a page that shows them (SHARES=1: they sign with shares; DEVNET_FLAGS=--help)
	$(call tried,devnet,$(BESIDE) \
		--features coxswain-cli/default$(comma)coxswain-demo/devnet$(if $(SHARES),$(comma)coxswain-cli/threshold) \
		--bin coxswain-devnet --bin coxswain-world --bin coxswain)
	@exec $(TRIED)/coxswain-devnet $(if $(SHARES),--shares) $(DEVNET_FLAGS)

##@ Ship it
man: $(TOOLS) ## Write the man pages to target/man
	@cargo run --quiet --locked --package coxswain-cli --example man -- target/man
	@ls target/man/*

release: $(TOOLS) ## Build the program for others, with its SHA-256 and SBOM, in target/dist: the same bytes on every machine
	@tools/release

LIBRARIES := $(addprefix --package coxswain-,bindings bitcoin coordination ethereum maintainer network node proposals protocol rules secrets service signing sim)
package: ## Package each library crate, and build it from its package alone
	cargo package --locked --quiet $(LIBRARIES)

SCRIPT = $(FORGE) script script/Deploy.s.sol --rpc-url $(or $(RPC_URL),$(error name the endpoint: RPC_URL=...))
# Of a failure forge shows the whole trace, with all bytecode in it. The error's name stands below.
WITHOUT_TRACE = awk '/^Traces:/ { trace = 1 } /^(==|Script |Error)/ { trace = 0 } !trace'
BRIDGE_ADDRESS = $(or $(BRIDGE),$(error name the Bridge: BRIDGE=0x...))
deploy: contracts ## Deploy the validator and record what is on the chain: BRIDGE=… RPC_URL=… FORGE_FLAGS='--account NAME'
	@$(SCRIPT) --sig 'run(address)' $(BRIDGE_ADDRESS) --broadcast $(FORGE_FLAGS) | $(WITHOUT_TRACE)
	@$(SCRIPT) --sig 'record(address)' $(BRIDGE_ADDRESS) | $(WITHOUT_TRACE)

verify-deployment: contracts ## Compare a validator on the chain with this build, and with its record: VALIDATOR=… RPC_URL=…
	@$(SCRIPT) --sig 'verify(address)' $(or $(VALIDATOR),$(error name the validator: VALIDATOR=0x...)) | $(WITHOUT_TRACE)
	@node tools/check-record.mjs $(VALIDATOR) $(RPC_URL)

##@ Test it
test: contracts ## Run every test, and count them
	@tools/count-tests $(MAKE) --no-print-directory test-contracts test-rust

# Forge's own check passes over a snapshot that is missing. So all are written afresh, and compared whole.
test-contracts: $(NPM)
	@rm -rf $(SNAPSHOTS)
	@FOUNDRY_SNAPSHOTS=$(SNAPSHOTS) FORGE_SNAPSHOT_CHECK=false FORGE_SNAPSHOT_EMIT=true $(FORGE) test
	@diff -r snapshots $(SNAPSHOTS) || { echo "error: gas isn't as in snapshots/. If it is meant to change: make snapshots" >&2; exit 1; }

test-rust: contracts
	@cargo test --locked --workspace --features coxswain-demo/devnet --quiet
	@cargo test --locked --quiet --package coxswain-signing --package coxswain-node --features coxswain-signing/threshold,coxswain-node/threshold --lib threshold::

SEED := $(or $(SEED),$(shell date +%s))
test-peers: contracts ## Check against Go's own vectors, a Go operator, geth, btcd and ElectrumX, and the page in Chromium: real peers (needs Go and Python)
	@tools/install-peers
	@echo "fresh vectors of SEED=$(SEED)"
	@go run -C crates/protocol/peers . -seed $(SEED) | cargo run --quiet --locked -p coxswain-protocol --example check-vectors
	@target/tools/bin/operator-peer -vectors crates/network/vectors >/dev/null
	@cargo run --quiet --locked -p coxswain-network --example check-go-peer target/tools/bin/operator-peer
	@COXSWAIN_GO_PEER=$(CURDIR)/target/tools/bin/operator-peer cargo test --quiet --locked -p coxswain-cli --features peers,threshold --test peers -- --nocapture --test-threads 1
	@cargo run --quiet --locked -p coxswain-bitcoin --example check-bitcoin-peers
	@cargo run --quiet --locked -p coxswain-ethereum --features proven --example check-geth
	@cargo run --quiet --locked -p coxswain-proposals --example check-wallet-lives
	@cargo run --quiet --locked -p coxswain-proposals --example check-judging
	@cargo build --quiet --locked -p coxswain-service --example show-page
	@node crates/service/browser/check.mjs target/tools/page target/debug/examples/show-page
	@cargo build --quiet --locked --package coxswain-demo --package coxswain-cli --features coxswain-demo/devnet \
		--bin coxswain-devnet --bin coxswain-world --bin coxswain
	@node crates/service/browser/devnet.mjs target/tools/page target/debug
	@cargo run --quiet --locked -p coxswain-maintainer --example check-proving

SECONDS := $(or $(SECONDS),600)
fuzz: ## Feed mutated frames, envelopes, multiaddrs, servers' answers and files of shares to what reads them: SECONDS=600 a target, SEED=…
	@COXSWAIN_FUZZ_SECONDS=$(SECONDS) COXSWAIN_FUZZ_SEED=$(SEED) \
		cargo test --release --quiet --locked -p coxswain-network --test all -- fuzz:: --nocapture --test-threads 1
	@COXSWAIN_FUZZ_SECONDS=$(SECONDS) COXSWAIN_FUZZ_SEED=$(SEED) \
		cargo test --release --quiet --locked -p coxswain-bitcoin --lib -- fuzz:: --nocapture --test-threads 1
	@COXSWAIN_FUZZ_SECONDS=$(SECONDS) COXSWAIN_FUZZ_SEED=$(SEED) \
		cargo test --release --quiet --locked -p coxswain-ethereum --features proven --lib --test all -- fuzz:: --nocapture --test-threads 1
	@COXSWAIN_FUZZ_SECONDS=$(SECONDS) COXSWAIN_FUZZ_SEED=$(SEED) \
		cargo test --release --quiet --locked -p coxswain-signing --lib -- fuzz:: --nocapture --test-threads 1
	@echo "fuzz: no target failed, SEED=$(SEED), $(SECONDS) s each"

soak: contracts ## Flood and attack nodes for a minute each, kill journals, nodes and maintainers again and again, run 20 windows on five processes
	@COXSWAIN_FLOOD_SECONDS=60 cargo test --release --quiet --locked -p coxswain-network --test floods -- --nocapture
	@COXSWAIN_KILLS=100 cargo test --quiet --locked -p coxswain-service --test journal -- killed --nocapture
	@COXSWAIN_HITS=10 COXSWAIN_KILLS=100 COXSWAIN_SEED=$(SEED) cargo test --quiet --locked -p coxswain-cli \
		--features points --test kills -- --nocapture --test-threads 1
	@COXSWAIN_HITS=10 COXSWAIN_KILLS=50 COXSWAIN_SEED=$(SEED) cargo test --quiet --locked -p coxswain-cli \
		--features points --test maintainer_kills -- --nocapture --test-threads 1
	@COXSWAIN_HITS=10 cargo test --quiet --locked -p coxswain-maintainer --features points --lib -- kills:: --nocapture --test-threads 1
	@cargo run --release --quiet --locked -p coxswain-sim -- --coordinated --games 1000 --windows 10
	@COXSWAIN_WINDOWS=20 cargo test --quiet --locked -p coxswain-cli --test all -- start::five --nocapture
	@COXSWAIN_FLOOD_SECONDS=60 cargo test --quiet --locked -p coxswain-cli --test all -- members::inc_18 --nocapture
	@COXSWAIN_DEPOSITS=20 COXSWAIN_KILLS=50 cargo test --quiet --locked -p coxswain-cli --features threshold --test shares -- --nocapture --test-threads 1
	@COXSWAIN_HITS=10 COXSWAIN_KILLS=50 COXSWAIN_SEED=$(SEED) cargo test --quiet --locked -p coxswain-cli \
		--features points,threshold --test share_kills -- --nocapture --test-threads 1
	@COXSWAIN_FLIPS=all COXSWAIN_GAMES=200 cargo test --release --quiet --locked -p coxswain-signing --features threshold --lib -- threshold::
	@echo "soak: nothing failed"

audit: contracts ## Run every technique of the audit at length (up to 90 minutes), and sum them up
	@audit/run

##@ Measure it
bench: contracts ## Measure with criterion: leader, decoding, follower, predicates; count the round trips of a proposal and of a maintainer's pass, what Bitcoin's header chain costs, and what a node of 200 wallets does over 100 windows
	cargo bench --locked -p coxswain-protocol -p coxswain-rules
	cargo bench --locked --quiet -p coxswain-network
	cargo bench --locked --quiet -p coxswain-bitcoin --bench headers
	cargo bench --locked --quiet -p coxswain-signing --features threshold --bench threshold
	COXSWAIN_MEASURE=1 cargo test --locked --release --quiet -p coxswain-node --features threshold --lib -- loopback::what --nocapture
	cargo bench --locked --quiet --profile dev -p coxswain-cli --bench round_trips
	cargo bench --locked --quiet --profile dev -p coxswain-cli --bench passes
	cargo bench --locked --quiet -p coxswain-cli --bench node
	cargo bench --locked --quiet -p coxswain-node --features proven --bench window

##@ Check it
check-manifests: ## Hold the manifests under deploy/kubernetes against Kubernetes' schemas and our rules, and test the alerts (needs Go and Python)
	@tools/check-manifests
	@tools/check-alerts

PROFILE ?= release
check-image: $(TOOLS) ## Carry out the Dockerfile's stages in fresh Debians, without a container engine, and run the program as it would: PROFILE=dev is faster (needs mmdebstrap)
	@node tools/check-image.mjs $(PROFILE)

lint: contracts ## Check format and lints of Solidity and Rust, warnings denied, and that no modules depend on each other in a circle
	@node tools/check-circles.mjs
	$(FORGE) fmt --check
	$(FORGE) lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --features coxswain-demo/devnet --all-targets --quiet -- -D warnings
	cargo clippy --locked --package coxswain-cli --features peers,points,threshold --all-targets --quiet -- -D warnings
	cargo clippy --locked --package coxswain-maintainer --features points --all-targets --quiet -- -D warnings
	cargo clippy --locked --package coxswain-signing --features threshold --all-targets --quiet -- -D warnings

##@ Keep it up to date
snapshots: contracts ## Write the gas snapshots that make test compares with
	@rm -rf snapshots
	@FORGE_SNAPSHOT_CHECK=false FORGE_SNAPSHOT_EMIT=true $(FORGE) test --match-path 'test/gas/*'

bindings: contracts ## Write the ABI snapshots that the Rust bindings are generated from
	@node tools/abi.mjs

explorer-bundle: contracts ## Write the standard JSON input that block explorers verify the source by
	@node tools/explorer-bundle.mjs

rules: ## Write docs/rules.md, from the docs of the contract's interface
	@node tools/rules.mjs

sbom: ## List all that is depended on, as CycloneDX, in target/sbom
	@node tools/sbom.mjs

check-bindings: contracts ## Fail when an ABI snapshot, or docs/rules.md, is stale
	@node tools/abi.mjs --check
	@node tools/rules.mjs --check

contracts: $(NPM)
	@test -d out/Deploy.s.sol || echo "compiling the contracts (a minute or two at first)" >&2
	@$(FORGE) build --quiet

# What runs on a local chain, without the tests and scripts, which take a minute.
validator: $(NPM)
	@$(FORGE) build --quiet contracts test/doubles/EasyRelay.sol

forge: contracts # For audit/: build what it judges, and say where forge is
	@realpath "$$(command -v $(FORGE))"

clean: ## Remove all that was built or installed
	rm -rf target out cache node_modules .venv

# By the lock file, hashes and all. Where a registry lacks another platform's package, `npm ci` refuses; then by exact versions.
NPM_FLAGS := --ignore-scripts --no-audit --no-fund --loglevel=error
$(NPM): package.json package-lock.json | $(TOOLS)
	@echo "installing the Solidity toolchain from npm" >&2
	@npm ci $(NPM_FLAGS) >/dev/null 2>&1 || npm install --no-save $(NPM_FLAGS) >/dev/null
	@touch $@

$(VENV): audit/requirements.txt
	@echo "installing Halmos and Slither from PyPI" >&2
	@python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --requirement $< >&2
	@touch $@

$(TOOLS): Makefile
	@tools/check-tools $(NODE_MIN) $(RUST_MIN) $(MAKE_MIN) $(MAKE_VERSION)
	@mkdir -p $(@D) && touch $@
