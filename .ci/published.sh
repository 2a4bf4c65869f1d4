#!/bin/sh
# Compares the published interfaces with docs/api, or writes them there.
#
#     published.sh check     fails and shows the difference if a listing changed
#     published.sh write     writes the listings
set -eu
mode=${1:?check or write}
out=docs/api
mkdir -p "$out"

# Compares or writes one listing from standard input.
listing() {
    file=$out/$1
    if [ "$mode" = write ]; then
        cat >"$file"
    elif ! diff -u "$file" -; then
        echo "published: $file differs: run \`make published WRITE=1\` and look at the difference" \
            >&2
        exit 1
    fi
}

for package in poolscope poolscope-capi poolscope-cli poolscope-http poolscope-proxy; do
    cargo package --allow-dirty --list -p "$package" | listing "$package.files.txt"
done
cargo public-api -p poolscope --features k8s-openapi,k8s-openapi/v1_33,http,tracing -sss |
    listing poolscope.txt
cargo public-api -p poolscope-http --features tokio -sss | listing poolscope-http.txt

for package in poolscope poolscope-http; do
    cargo tree -p "$package" -e normal --prefix none --no-dedupe --format '{p} {f}' |
        sed 's/ (.*)//' | sort -u |
        listing "$package.packages.txt"
done
(cd bindings/go && go doc -all .) | listing poolscope.go.txt

# The last release, if there is one.
release=$(git describe --tags --match 'v*' --abbrev=0 2>/dev/null || true)
if [ -n "$release" ]; then
    .ci/tools.sh semver
    cargo semver-checks -p poolscope --baseline-rev "$release"
else
    echo "published: no release yet, so that semver has no baseline" >&2
fi
