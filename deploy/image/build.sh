#!/bin/sh
# Makes the image of poolscope-proxy without a container engine: two layers on an empty base, for
# each architecture, and an index over both.
#
#     build.sh OUT amd64=BINARY [arm64=BINARY]
#
# OUT becomes an OCI layout, which `crane push OUT registry.example/poolscope-proxy:TAG` and
# `skopeo copy oci:OUT ...` read. The same binaries give the same digests. Prints the digest of the
# index. Needs crane.
set -eu
[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1
shift
here=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$here/target/tools/bin:$PATH
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml" | head -n 1)
source=$(sed -n 's/^repository = "\(.*\)"/\1/p' "$here/Cargo.toml" | head -n 1)
revision=${REVISION:-$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)}
scratch=$(mktemp -d)
registry=
trap '[ -z "$registry" ] || kill "$registry"; rm -rf "$scratch"' EXIT

# A tar file whose bytes depend only on the content of a folder.
layer() {
    tar --create --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
        --file "$1" --directory "$2" .
}

# crane makes an index only in a registry, so that one in memory serves while this script runs.
: >"$scratch/registry"
crane registry serve --address 127.0.0.1:0 >"$scratch/registry" 2>&1 &
registry=$!
until port=$(sed -n 's/.*serving on port \([0-9]*\)$/\1/p' "$scratch/registry") && [ "$port" ]; do
    kill -0 "$registry" || { cat "$scratch/registry" >&2; exit 1; }
    sleep 0.05
done
image=127.0.0.1:$port/poolscope-proxy

# The names of root, whom the DaemonSet runs as, and of the image's own user.
mkdir -p "$scratch/base/etc"
cat >"$scratch/base/etc/passwd" <<'EOF'
root:x:0:0:root:/:/sbin/nologin
poolscope:x:65532:65532:poolscope-proxy:/:/sbin/nologin
EOF
cat >"$scratch/base/etc/group" <<'EOF'
root:x:0:
poolscope:x:65532:
EOF
chmod 0755 "$scratch/base" "$scratch/base/etc"
chmod 0644 "$scratch"/base/etc/*
layer "$scratch/base.tar" "$scratch/base"

manifests=
for pair in "$@"; do
    arch=${pair%%=*} binary=${pair#*=}
    root=$scratch/$arch
    mkdir -p "$root/usr/bin"
    cp "$binary" "$root/usr/bin/poolscope-proxy"
    chmod 0755 "$root" "$root/usr" "$root/usr/bin" "$root/usr/bin/poolscope-proxy"
    layer "$scratch/$arch.tar" "$root"
    crane append --insecure -f "$scratch/base.tar" -f "$scratch/$arch.tar" -t "$image:$arch" \
        --oci-empty-base >/dev/null 2>&1
    set -- org.opencontainers.image.title=poolscope-proxy \
        "org.opencontainers.image.version=$version" \
        "org.opencontainers.image.source=$source" \
        "org.opencontainers.image.revision=$revision" \
        org.opencontainers.image.licenses=Apache-2.0
    labels=
    for label in "$@"; do labels="$labels --label $label --annotation $label"; done
    # shellcheck disable=SC2086
    crane mutate --insecure "$image:$arch" -t "$image:$arch" --set-platform "linux/$arch" \
        --user 65532:65532 --entrypoint /usr/bin/poolscope-proxy $labels >/dev/null 2>&1
    manifests="$manifests -m $image:$arch"
done
# shellcheck disable=SC2086
crane index append --insecure $manifests -t "$image:$version" >/dev/null 2>&1
rm -rf "$out"
crane pull --insecure --format=oci "$image:$version" "$out" >/dev/null 2>&1
crane digest --insecure "$image:$version"
