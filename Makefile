# One list of commands, for people and for CI. `make` alone says what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Cargo and Vite use all cores by themselves; what is left are installers that want to be alone.
.NOTPARALLEL:

# Programs that scripts/setup.sh adds lie in directories of their own (scripts/lib.sh says which).
export PATH := $(shell . scripts/lib.sh && printf %s "$$PATH")
TARGET := $(or $(CARGO_TARGET_DIR),target)
WEB := crates/web
CLIENT := $(WEB)/client
# For `make fuzz`: how long each target runs.
SECONDS := 60

##@ Everyday
.PHONY: help run dev test check fmt manifests
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

run: setup-run web ## install what is missing, build, and play: a whole cluster on this machine
	@echo "==> building Rally (the first time takes some minutes)"
	cargo build --release -p rally
	@exec $(TARGET)/release/rally dev

dev: setup-run web ## the same from a debug build: builds sooner, runs slower
	cargo build -p rally
	@exec $(TARGET)/debug/rally dev

test: setup-test ## everything: checks, Rust tests, the web client's, the browser's, a short load
	@scripts/test.sh

check: check-format check-lint check-docs check-layers check-policy check-licences check-secrets check-scripts check-types ## what needs no running: format, lints, docs, layers, licences, secrets, types

fmt: setup-build ## format the Rust code
	cargo fmt --all

manifests: web ## write deploy/ anew from crates/manifests and the program's help
	RALLY_GOLDEN=write cargo test -p rally --test it manifests::defaults
	RALLY_GOLDEN=write cargo test -p rally-manifests --test it written

##@ Parts of check
.PHONY: check-format check-lint check-docs check-layers check-policy check-licences check-secrets check-scripts check-types audit
check-format: | setup-build ## rustfmt
	@if cargo fmt --version >/dev/null 2>&1; then cargo fmt --all --check; else echo "skipped: rustfmt is missing"; fi

check-lint: web ## clippy, warnings are errors
	@if cargo clippy --version >/dev/null 2>&1; then cargo clippy --workspace --all-targets -- -D warnings; else echo "skipped: clippy is missing"; fi

check-docs: web ## rustdoc, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

check-layers: | setup-build ## no crate imports upwards or a neighbour
	node scripts/layers.mjs

check-policy: | setup-build ## licences, advisories and sources of dependencies (needs cargo-deny)
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; else echo "skipped: cargo-deny is missing"; fi

check-licences: | setup-build ## licences of crates and packages, from their lock files
	node scripts/licences.mjs

check-secrets: | setup-build ## nothing that git knows looks like a secret
	node scripts/secrets.mjs

check-scripts: ## shellcheck
	@if command -v shellcheck >/dev/null; then git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck -x && echo "shellcheck finds nothing"; else echo "skipped: shellcheck is missing"; fi

audit: | setup-build ## known weaknesses of dependencies, by the advisories of cargo and npm (needs the network)
	scripts/audit.sh

check-types: $(WEB)/node_modules/.package-lock.json ## TypeScript types of the SDK and the web client
	cd $(WEB) && npm run check --workspaces

##@ Web client
.PHONY: web
web: $(CLIENT)/dist/index.html ## build the page that the edges serve (only when its sources changed)

WEB_SOURCES := $(shell find $(CLIENT) $(WEB)/sdk \( -name node_modules -o -name dist -o -name test -o -name '.*' \) -prune -o -type f -print 2>/dev/null)

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json $(WEB)/package.json $(CLIENT)/package.json $(WEB)/sdk/package.json | setup-build
	cd $(WEB) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
	@touch $@

$(CLIENT)/dist/index.html: $(WEB_SOURCES) $(WEB)/node_modules/.package-lock.json
	cd $(CLIENT) && npm run build
	@touch $@

##@ Load and measurements
.PHONY: chaos chaos-short bench load-smoke load-k6 load-api load-chat load-spike load-soak load-artillery load-artillery-chat load-pgbench sim fuzz
chaos: setup-run web ## every fault against a cluster under load; writes docs/RELIABILITY.md (release build, a quarter of an hour)
	cargo build --release -p rally -p rally-chaos
	$(TARGET)/release/chaos --write

chaos-short: setup-run web ## a few of them with few matches and generous bounds, in a minute
	cargo build --workspace --bins
	$(TARGET)/debug/chaos --short

bench: setup-run web ## the figures of docs/BENCHMARKS.md on this machine (release build, some minutes)
	scripts/bench.sh

load-smoke: setup-load web ## swarm, k6 and artillery, some seconds each, against a cluster of their own
	scripts/load_smoke.sh

load-k6: setup-load ## k6 against a running cluster (BASE_URLS, VUS, DURATION)
	scripts/load.sh k6

load-api: setup-load ## k6: the HTTP API, 50, 100, 200 guests or RATE requests a second (PROFILE, STAGES, STAGE_S, RATE)
	scripts/load.sh api

load-chat: setup-load ## k6: people in the global channel (VUS, STAY_S)
	scripts/load.sh chat

load-spike: setup-load ## k6: everybody loses the connection at once (VUS, ROUNDS)
	scripts/load.sh spike

load-soak: setup-load ## k6: matches for hours, and memory (VUS, DURATION, METRICS_URLS)
	scripts/load.sh soak

load-artillery-chat: setup-load ## artillery: the same people as load-chat (PLAYERS, DURATION, STAY_S)
	scripts/load.sh artillery-chat

load-pgbench: setup-load ## pgbench: what matches cost the database (DATABASE_URL: a migrated one of your own)
	scripts/load.sh pgbench

load-artillery: setup-load ## artillery against a running cluster (BASE_URLS, RATE_1, RATE_2, DURATION)
	scripts/load.sh artillery

sim: | setup-build ## one run of the simulated cluster again: make sim SEED=7 (RUNS=1000 for as many from there)
	SEED=$(or $(SEED),1) RUNS=$(or $(RUNS),1) cargo test -p rally-worker --lib cluster_sim -- --nocapture

fuzz: | setup-build ## the decoders with random bytes: make fuzz SECONDS=60 (needs nightly and cargo-fuzz)
	scripts/fuzz.sh $(SECONDS)

##@ Setting up and cleaning up
.PHONY: setup-build setup-run setup-test setup-load clean
setup-build: ## C compiler, Rust, Node
	@scripts/setup.sh cc rust node

setup-run: ## the same, Redis and Postgres
	@scripts/setup.sh cc rust node redis postgres

setup-test: ## the same, a browser, the load generators, and what checks deploy/
	@scripts/setup.sh cc rust node redis postgres chromium k6 artillery helm prometheus schemathesis

setup-load: ## what the load generators need
	@scripts/setup.sh cc rust node redis postgres k6 artillery

clean: ## remove what was built (not .rally, the data of `make run`, nor .tools)
	rm -rf $(TARGET) $(CLIENT)/dist $(WEB)/sdk/dist $(WEB)/node_modules loadtests/artillery/node_modules
