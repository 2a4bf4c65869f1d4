# The commands of the README and CONTRIBUTING.

# Programs that .ci/tools.sh installs.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

CARGO ?= cargo
GO ?= go
RECORDED = tests/data/recorded/list
SHOWN = shop/cart iot/collector
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# Every nightly toolchain has the sanitizers' runtimes, but not every stable one.
NIGHTLY = $(shell $(CARGO) +nightly --version >/dev/null 2>&1 && echo +nightly)
# Every feature of the core.
FEATURES = --features poolscope/k8s-openapi,poolscope/http,poolscope/tracing
# Files are enough for the demos, and a client of the API server takes minutes to build, as does an
# optimised program.
BUILD = $(CARGO) build -p poolscope-cli --no-default-features
POOLSCOPE = $(CARGO) run --quiet -p poolscope-cli --no-default-features --

.PHONY: demo demo-yurthub test tools check published msrv advisories test-asan test-go
.PHONY: e2e e2e-quick proxy-numbers long mutants shuttle

# The recorded cluster: an edge node before and after, a cloud node in no pool, and why.
demo:
	@$(BUILD)
	@echo
	@echo "== hz-edge-1 without poolscope: endpoints of every site =="
	@$(POOLSCOPE) view --node hz-edge-1 --facts $(RECORDED) \
		--config examples/unfiltered.json $(SHOWN) 2>/dev/null
	@echo
	@echo "== hz-edge-1, an edge node in pool hangzhou =="
	@$(POOLSCOPE) view --node hz-edge-1 --facts $(RECORDED) $(SHOWN) 2>/dev/null
	@echo
	@echo "== cloud-master-0, a cloud node in no pool: keeps to itself =="
	@$(POOLSCOPE) view --node cloud-master-0 --facts $(RECORDED) $(SHOWN) 2>/dev/null
	@echo
	@echo "== why hz-edge-1 sees what it sees of iot/collector =="
	@$(POOLSCOPE) explain --node hz-edge-1 --facts $(RECORDED) iot/collector 2>/dev/null
	@echo
	@echo "== the bytes themselves: the API server's list of EndpointSlices," \
		"as hz-edge-1's proxy gets it =="
	@$(POOLSCOPE) filter --node hz-edge-1 --facts $(RECORDED) \
		$(RECORDED)/endpointslices-json.json >/dev/null

# The line that OpenYurt's guide adds to its ConfigMap for Cilium, before and after.
demo-yurthub: YURTHUB = view --node hz-edge-1 --user-agent cilium-agent \
	--config examples/yurthub/config.json --facts $(RECORDED)
demo-yurthub:
	@$(BUILD)
	@echo
	@echo "== cilium-agent on hz-edge-1, before the ConfigMap names it =="
	@$(POOLSCOPE) $(YURTHUB) examples/yurthub/before.json shop/cart iot/dash 2>/dev/null
	@echo
	@echo "== after: servicetopology: cilium,cilium-agent =="
	@$(POOLSCOPE) $(YURTHUB) shop/cart iot/dash 2>/dev/null

# Rust, C and Go. Installs what a Debian machine lacks.
test: tools
	$(MAKE) check
	$(CARGO) test --workspace $(FEATURES)
	$(BUILT)/debug/examples/watch >/dev/null
	$(BUILT)/debug/examples/filter_list hz-edge-1 tests/data/recorded/list >/dev/null
	$(MAKE) -j2 -O test-c test-asan test-go

tools:
	@.ci/tools.sh test

check:
	for crate in . fuzz tests/shuttle benches/table; do \
		$(CARGO) fmt --all --check --manifest-path $$crate/Cargo.toml || exit; \
	done
	rustfmt --check --edition 2024 benches/versions/src/main.rs
	$(CARGO) clippy --workspace --all-targets $(FEATURES) -- -D warnings
	$(CARGO) clippy -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items $(FEATURES)

# The published interfaces: the listing of the public API and of the files in each package against
# docs/api, semver against the last release, licences and sources of dependencies, and a build with
# the oldest supported Rust.
published: msrv
	@.ci/tools.sh published
	.ci/published.sh $(if $(WRITE),write,check)
	cargo deny -L error --all-features check licenses bans sources
	cd bindings/c && cargo deny -L error --all-features check licenses bans sources
	cd crates/cli && cargo deny -L error --all-features check licenses bans sources
	cd crates/http && cargo deny -L error --all-features check licenses bans sources
	cd crates/proxy && cargo deny -L error check licenses bans sources

# The pages of `poolscope report` in headless Chromium, with axe-core. `SCREENSHOTS=docs` writes the
# pictures of docs/report.md.
.PHONY: test-report
PAGES = $(abspath $(BUILT))/report
test-report:
	@.ci/tools.sh page
	mkdir -p $(PAGES)/check && rm -f $(PAGES)/*.html
	cp crates/cli/tests/page/* $(PAGES)/check/
	cd $(PAGES)/check && npm install --silent --no-audit --no-fund --no-save
	REPORTS=$(PAGES) $(CARGO) test -q -p poolscope-cli --test report
	node $(PAGES)/check/check.mjs \
		$(if $(SCREENSHOTS),--screenshots $(abspath $(SCREENSHOTS))) $(PAGES)/*.html

# Needs the advisory database, which is not in a package registry.
advisories:
	@.ci/tools.sh published
	cargo deny -L error --all-features check advisories

# What others compile. The programs are checked, too, with
# `make msrv MSRV_PACKAGES="poolscope-cli poolscope-proxy"`, which takes minutes.
MSRV_PACKAGES = poolscope poolscope-capi poolscope-http
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
msrv:
	rustup toolchain list | grep -q '^$(MSRV)' || rustup toolchain install $(MSRV).0 --profile minimal
	$(CARGO) +$(MSRV).0 check --target-dir $(BUILT)/msrv \
		$(MSRV_PACKAGES:%=-p %)

# The Rust tests of the C ABI under AddressSanitizer, in a folder of their own, because everything
# is built anew.
test-asan:
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$(BUILT)/asan \
		$(CARGO) $(NIGHTLY) test --profile sanitized --target $(HOST) -p poolscope-capi --lib --test rust

# The Go module and its examples over both backends: the library translated to Go, and the C library
# through cgo under the race detector. Both emit the same bytes for every recording. The generated
# package is left out by name, because cgo does not need it and vet takes minutes for it. Go does not
# notice that the C library was rebuilt: -count=1.
GO_PACKAGES = $$($(GO) list -tags poolscope_cgo ./... | grep -v '/internal/guest$$')
OUTCOMES = $(abspath $(BUILT))/go-outcomes
test-go: lib test-go-translated
	cd bindings/go && $(GO) vet -tags poolscope_cgo $(GO_PACKAGES) && \
		POOLSCOPE_OUTCOMES=$(OUTCOMES)-cgo \
		$(GO) test -tags poolscope_cgo -count=1 -race $(GO_PACKAGES)
	cmp $(OUTCOMES)-cgo $(OUTCOMES)-translated
	cd bindings/go/examples/informer && $(GO) vet -tags poolscope_cgo ./...

# The translated library under the race detector, which needs cgo itself.
test-go-race:
	cd bindings/go && CGO_ENABLED=1 $(GO) test -vet=off -count=1 -race ./...

# Without cgo, and without a C compiler or Rust.
.PHONY: test-go-translated test-go-race
test-go-translated:
	mkdir -p $(dir $(OUTCOMES))
	cd bindings/go && CGO_ENABLED=0 $(GO) build ./... && \
		POOLSCOPE_OUTCOMES=$(OUTCOMES)-translated CGO_ENABLED=0 $(GO) test -vet=off -count=1 ./...
	cd bindings/go/examples/informer && CGO_ENABLED=0 $(GO) build -o /dev/null .

# A real kube-apiserver, built from its Go module (which takes minutes the first time), with
# client-go informers, reflectors of kube-rs and the node proxy; what client-go does after a watch;
# and OpenYurt's own filter beside poolscope. `e2e-quick` runs fewer variants. `BACKEND=` runs the
# library translated to Go in place of the C library.
BACKEND = -tags poolscope_cgo
e2e: lib
	$(CARGO) build -p poolscope-http --example follower
	$(CARGO) build -p poolscope-proxy
	cd e2e && $(GO) vet $(BACKEND) . ./apiserver ./kubelet ./lab ./reflector ./numbers/... && \
		FOLLOWER=$(abspath $(BUILT))/debug/examples/follower \
		PROXY=$(abspath $(BUILT))/debug/poolscope-proxy $(GO) test $(BACKEND) -count=1 $(SHORT) -timeout 30m . ./apiserver ./reflector
	cd e2e/yurthub && $(GO) vet $(BACKEND) . && $(GO) test $(BACKEND) -count=1 $(SHORT) -timeout 30m .

e2e-quick:
	$(MAKE) e2e SHORT=-short

# The node proxy beside a direct connection, a proxy that decodes, and HAProxy, which has to be
# installed. Writes the table of docs/performance.md. With SOAK=30m: the levels of memory and
# descriptors under churn for so long.
proxy-numbers:
	$(CARGO) build --release -p poolscope-proxy
	cd e2e && $(GO) build -o $(abspath $(BUILT))/numbers/ ./numbers ./numbers/decoding
	$(BUILT)/numbers/numbers -proxy $(BUILT)/release/poolscope-proxy \
		-decoding $(BUILT)/numbers/decoding $(if $(SOAK),-soak $(SOAK))

# The properties on forty times as many random objects, and lives of streams of a million events.
long:
	POOLSCOPE_CASES=20000 $(CARGO) test --release --test properties
	POOLSCOPE_EVENTS=1000000 $(CARGO) test --release --test simulation -- --nocapture

# Changes the code in a thousand small ways and lists the changes that no test notices. An hour or
# two; needs cargo-mutants.
mutants:
	POOLSCOPE_SEEDS=40 $(CARGO) mutants -C=--test=streams -C=--test=simulation -C=--lib \
		--profile mutants --timeout 60 \
		-f 'src/topology/*.rs' -f 'src/rewrite/*.rs' \
		-f 'src/stream/*.rs' -f 'src/client_state/*.rs' -- -- --skip found_out

# Threads that share a Cluster, in every order that shuttle finds.
shuttle:
	cd tests/shuttle && RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=$(abspath $(BUILT))/shuttle \
		$(CARGO) test --locked

include bindings/c/library.mk
include bindings/wasm/guest.mk
include bindings/go/cilium/cilium.mk
include e2e/cli/cli.mk
include e2e/clients/clients.mk
include e2e/consumer/consumer.mk
include e2e/lab/lab.mk
include e2e/cilium/stock.mk
include fuzz/fuzz.mk
include benches/bench.mk
include cross.mk
include deploy/deploy.mk
