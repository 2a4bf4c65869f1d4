#!/bin/sh
# example.sh FILTER...: runs the example on recorded bodies. FILTER is the command, such as a
# program under valgrind.
set -eu
recorded=$(dirname "$0")/../../../tests/data/recorded
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# What was asked for to get a recorded body.
target() {
    sed -n 's/^ *"path": "\(.*\)",$/\1/p' "$recorded/$1.meta.json"
}

fail() {
    echo "example.sh: $*" >&2
    cat "$out/err" >&2
    exit 1
}

# expect STATUS COMMAND...
expect() {
    expected=$1
    shift
    status=0
    "$@" >"$out/body" 2>"$out/err" || status=$?
    [ "$status" = "$expected" ] || fail "exit status $status: $*"
}

command=$*
facts=""
for name in services nodes nodepools; do
    facts="$facts $(target list/$name-json) $recorded/list/$name-json.json"
done

# $command and $facts are split on purpose: neither targets nor names of recordings have spaces.
for name in list/endpointslices-json.json list/endpointslices-proto.pb \
    watch/endpointslices-json.json watch/endpointslices-proto.pb \
    watchlist/endpointslices-json.json watchlist/endpointslices-proto.pb; do
    expect 0 $command hz-edge-1 $facts "$(target "${name%.*}")" "$recorded/$name"
    grep -q '"objectsCut":[1-9]' "$out/err" || fail "nothing was cut from $name"
    grep -aq '10\.244\.' "$out/body" || fail "nothing is left of $name"
done

# Without facts there is an answer, and no endpoint in it.
expect 1 $command hz-edge-1 \
    "$(target list/endpointslices-json)" "$recorded/list/endpointslices-json.json"
grep -q '"code":503' "$out/body" || fail "no answer"
grep -q '"addresses"' "$out/body" && fail "endpoints without facts"

# What is no endpoints passes as it is.
expect 0 $command hz-edge-1 "$(target list/configmaps-json)" "$recorded/list/configmaps-json.json"
cmp -s "$out/body" "$recorded/list/configmaps-json.json" || fail "configmaps have changed"

# A body that was cut is an error that says where.
head -c 20000 "$recorded/list/endpointslices-json.json" >"$out/cut.json"
expect 1 $command hz-edge-1 $facts "$(target list/endpointslices-json)" "$out/cut.json"
grep -q 'at byte 20000' "$out/err" || fail "no offset"

echo '{"retentoin":"full"}' >"$out/config.json"
expect 1 $command -c "$out/config.json" hz-edge-1 /api/v1/services "$out/none"
grep -q retentoin "$out/err" || fail "the key is not named"
echo '{"membership":"off"}' >"$out/config.json"
expect 0 $command -c "$out/config.json" hz-edge-1 $facts \
    "$(target list/endpointslices-json)" "$recorded/list/endpointslices-json.json"
expect 2 $command hz-edge-1 /api/v1/services
echo "example: ok"
