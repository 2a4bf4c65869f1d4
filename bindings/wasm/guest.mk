# `make guest` builds the C ABI for wasm and translates it to Go. The tools are pinned, paths are
# not part of the result, and the same sources give the same bytes in every folder. Five minutes of
# one processor the first time, because the standard library is built too; less than two later.
#
# `make guest-check` does the same and compares.

GUEST = bindings/go/internal/guest/guest.go
GUEST_BUILT = $(abspath $(BUILT))/guest
WASM2GO = github.com/ncruces/wasm2go@v0.4.22
# Debian's, because it comes with the standard library's source.
GUEST_RUSTC = rustc 1.96.0 (ac68faa20 2026-05-25)
GUEST_LLD = LLD 19.1.7
GUEST_SYSROOT = $(shell /usr/bin/rustc --print sysroot)
# With a higher threshold the code is larger and no faster.
GUEST_FLAGS = -Cllvm-args=-inline-threshold=100 \
	-Clink-arg=--import-memory -Clink-arg=-zstack-size=131072 \
	--remap-path-prefix=$(CURDIR)=/poolscope \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo \
	--remap-path-prefix=$(GUEST_SYSROOT)/lib/rustlib/src/rust=/rust \
	--remap-path-prefix=$(realpath $(GUEST_SYSROOT)/lib/rustlib/src/rust)=/rust

.PHONY: guest guest-check guest-tools

guest: guest-tools
	$(MAKE) $(GUEST_BUILT)/guest.go
	cp $(GUEST_BUILT)/guest.go $(GUEST)

guest-check: guest-tools
	$(MAKE) $(GUEST_BUILT)/guest.go
	cmp $(GUEST_BUILT)/guest.go $(GUEST)

guest-tools:
	command -v wasm-ld-19 >/dev/null && test -d $(GUEST_SYSROOT)/lib/rustlib/src/rust || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends \
			rustc-web cargo-web rust-web-src lld-19; }
	test "$$(/usr/bin/rustc --version | cut -d' ' -f-4)" = "$(GUEST_RUSTC)"
	wasm-ld-19 --version | grep -q '$(GUEST_LLD)'
	test -x $(GUEST_BUILT)/bin/wasm2go || \
		GOBIN=$(GUEST_BUILT)/bin $(GO) install $(WASM2GO)

$(GUEST_BUILT)/guest.go: FORCE
	RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 RUSTFLAGS="$(GUEST_FLAGS)" \
	CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$(GUEST_BUILT) \
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19 \
	/usr/bin/cargo build --locked --profile guest -p poolscope-wasm \
		-Zbuild-std=std,panic_abort -Zbuild-std-features= --target wasm32-unknown-unknown
	cd bindings/go && $(GO) run ./internal/guest/translate \
		-wasm2go $(GUEST_BUILT)/bin/wasm2go -root $(CURDIR) \
		-tools "$(GUEST_RUSTC), $(GUEST_LLD), wasm2go $(lastword $(subst @, ,$(WASM2GO)))" \
		$(GUEST_BUILT)/wasm32-unknown-unknown/guest/poolscope_wasm.wasm $@
