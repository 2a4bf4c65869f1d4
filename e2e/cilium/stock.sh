#!/usr/bin/env bash
# Builds cilium-agent and cilium-dbg of a Cilium release as that release builds them: its own module
# is the main module, nothing is added. The programs go to FOLDER/VERSION.
#
#   stock.sh VERSION FOLDER
set -euo pipefail
version=$1
mkdir -p "$2/$version"
into=$(cd "$2/$version" && pwd)
go=${GO:-go}
cilium=github.com/cilium/cilium
gobgp=github.com/osrg/gobgp/v4

cd /
"$go" mod download "$cilium@v$version"
source=$("$go" list -m -f '{{.Dir}}' "$cilium@v$version")
released=$("$go" list -m -f '{{.Time.Format "2006-01-02T15:04:05Z"}}' "$cilium@v$version")
# Tests find the release's BPF programs and definitions there.
echo "$source" >"$into/source"
cd "$source"

# Cilium 1.20.2 requires gobgp at a commit between two releases, which some module proxies do not
# serve. The next release stands in for it then, in a copy of go.mod: no source is changed, and the
# BGP control plane is off unless a flag switches it on.
modfile=()
rm -f "$into"/go.{mod,sum}
required=$(sed -nE "s|^\s*$gobgp (v[^ ]+).*|\1|p" go.mod)
if [ -n "$required" ] && ! "$go" mod download "$gobgp@$required" 2>/dev/null; then
    echo "$gobgp $required is not served here: building with v4.7.0" >&2
    cp go.mod go.sum "$into"
    chmod u+w "$into"/go.{mod,sum}
    modfile=(-mod=mod "-modfile=$into/go.mod")
    "$go" mod edit "-require=$gobgp@v4.7.0" "$into/go.mod"
fi

# The version is the first field of the User-Agent; revision and date are the other two.
envoy=$(sed -nE 's/^ARG CILIUM_ENVOY_IMAGE=[^ ]*:(.*-)?([0-9a-f]+)@.*/\2/p' images/cilium/Dockerfile)
set="-X '$cilium/pkg/version.ciliumVersion=$version v$version $released'"
set+=" -X '$cilium/pkg/envoy.requiredEnvoyVersionSHA=$envoy'"
for program in cilium-dbg:cilium-dbg daemon:cilium-agent; do
    CGO_ENABLED=0 "$go" build "${modfile[@]}" -tags osusergo -ldflags "-s -w $set" \
        -o "$into/${program#*:}" "./${program%:*}"
done
