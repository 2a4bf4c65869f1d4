#!/bin/sh
# Builds a static program for one architecture and prints its path.
#
#     binary.sh amd64|arm64 [poolscope-proxy|poolscope]
#
# The standard library is built from source for musl, because Debian's Rust has that source and
# rustup may not have the target. zig is the C compiler and the linker of both architectures: it
# brings musl and libunwind. `.ci/tools.sh image` installs everything.
set -eu
arch=${1:?amd64 or arm64}
program=${2:-poolscope-proxy}
here=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$here/target/tools/image/bin:$PATH
case $arch in
amd64) target=x86_64-unknown-linux-musl ;;
arm64) target=aarch64-unknown-linux-musl ;;
*)
    echo "binary.sh: unknown architecture ($arch): use amd64 or arm64" >&2
    exit 2
    ;;
esac
case $program in
poolscope-proxy) package=$program ;;
poolscope) package=poolscope-cli ;;
*)
    echo "binary.sh: unknown program ($program): use poolscope-proxy or poolscope" >&2
    exit 2
    ;;
esac
export CARGO_TARGET_DIR="${IMAGE_TARGET_DIR:-$here/target/image/build}"
# `link-self-contained`: zig has the start files that Debian's Rust lacks for musl.
# Paths of this machine would make the program differ from one built elsewhere.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="-C strip=symbols -C link-self-contained=no --remap-path-prefix=$here=. \
--remap-path-prefix=$cargo_home=cargo --remap-path-prefix=$CARGO_TARGET_DIR=target"
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO=/usr/bin/cargo SOURCE_DATE_EPOCH=0
cd "$here"
cargo-zigbuild zigbuild --locked --release -Zbuild-std=std,panic_unwind --target "$target" \
    -p "$package" ${IMAGE_FEATURES:+--no-default-features --features "$IMAGE_FEATURES"} >&2
echo "$CARGO_TARGET_DIR/$target/release/$program"
