#!/bin/sh
# Renders the manifest for archives of this program, and validates it with krew's own validator:
# test.sh PROGRAM. krew then installs the archive of this machine from it.
set -eu
program=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/files"
cp "$program" "$folder/files/poolscope"
cp "$root/LICENSE" "$folder/files/"
for platform in $(sed -n 's/^ *sha256: SHA256-//p' "$root/deploy/krew/poolscope.yaml"); do
	tar -C "$folder/files" -czf "$folder/poolscope-$platform.tar.gz" poolscope LICENSE
done
"$root/deploy/krew/render.sh" v0.1.0 "$folder" > "$folder/poolscope.yaml"
cd "$folder"
krew=sigs.k8s.io/krew
version=v0.4.3
GOFLAGS=-mod=mod GOBIN="$folder/bin" go install "$krew/cmd/validate-krew-manifest@$version"
GOFLAGS=-mod=mod GOBIN="$folder/bin" go install "$krew/cmd/krew@$version"
bin/validate-krew-manifest -manifest poolscope.yaml -skip-install
export KREW_ROOT="$folder/root" HOME="$folder"
platform=linux-$(go env GOARCH)
bin/krew install --manifest=poolscope.yaml --archive="poolscope-$platform.tar.gz"
"$KREW_ROOT/bin/kubectl-poolscope" view --help | grep -q 'Usage: kubectl poolscope view'
echo "krew: the manifest is valid, and the plugin installs"
