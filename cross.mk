# Other machines: a big-endian one and aarch64 under qemu, and the core for wasm. `make cross` takes
# an hour or so on two cores, for the standard library is built for each.
#
# Debian's Rust comes with the standard library's source, so that no target has to be added to a
# toolchain: `make cross-tools` installs it, the linkers and qemu. They are used for these targets
# alone.

DEBIAN_CARGO = RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
	CARGO_TARGET_DIR=$(BUILT)/cross /usr/bin/cargo
CROSS_TOOLS = rustc-web cargo-web rust-web-src qemu-user-static gcc-s390x-linux-gnu \
	libc6-dev-s390x-cross gcc-aarch64-linux-gnu libc6-dev-arm64-cross lld-19
# All tests but those that start programs of the host: the command, the C compiler, cargo.
CROSS_TESTS = --lib --test allocations --test facts --test rust --test fuzz --test hostile \
	--test life --test properties --test recorded --test rewrites --test simulation \
	--test streams --test typed --test verdicts
# An emulated machine is ten times slower.
CROSS_LESS = POOLSCOPE_CASES=40 POOLSCOPE_SEEDS=20
# What only judges need not be fast.
CROSS_PROFILE = --config 'profile.dev.package.k8s-openapi.opt-level=0'

.PHONY: cross cross-tools cross-s390x cross-aarch64 cross-wasm

cross: cross-wasm cross-s390x cross-aarch64

cross-tools:
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $(CROSS_TOOLS)

cross-s390x:
	CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc \
	CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER="qemu-s390x-static -L /usr/s390x-linux-gnu" \
	$(CROSS_LESS) $(DEBIAN_CARGO) test -Zbuild-std --target s390x-unknown-linux-gnu \
		-p poolscope -p poolscope-capi --features poolscope/k8s-openapi \
		$(CROSS_PROFILE) $(CROSS_TESTS)

cross-aarch64:
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu" \
	$(CROSS_LESS) $(DEBIAN_CARGO) test -Zbuild-std --target aarch64-unknown-linux-gnu \
		-p poolscope -p poolscope-capi --features poolscope/k8s-openapi \
		$(CROSS_PROFILE) $(CROSS_TESTS)

# Without clock, threads and files there is nothing that the core would miss.
cross-wasm:
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19 \
	$(DEBIAN_CARGO) build --release -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown --lib
