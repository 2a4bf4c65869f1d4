#!/bin/sh
# Renders the chart with Helm 3 and Helm 4 for every file of values/, compares the result with
# golden/, and checks that every file of refused/ is refused for the reason that its first line
# names. The plain manifests of deploy/manifests are compared in the same way.
#
#     chart.sh           compare
#     chart.sh write     write the golden files and the plain manifests
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$here/target/tools/bin:$PATH
chart=$here/deploy/chart/poolscope-proxy
tests=$here/deploy/tests
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
checked=0 failed=0

fail() {
    echo "FAIL $*" >&2
    failed=$((failed + 1))
}

# Renders with a fixed release, namespace and version of Kubernetes.
render() {
    "$1" template poolscope-proxy "$chart" --namespace kube-system --kube-version 1.35.0 -f "$2"
}

# Helm 4 writes an empty line before each object.
compare() {
    checked=$((checked + 1))
    diff -uB "$1" "$2" || fail "$3"
}

if [ "${1:-}" = write ]; then
    for values in "$tests"/values/*.yaml; do
        render helm3 "$values" >"$tests/golden/$(basename "$values")" || exit 1
    done
    render helm3 "$here/deploy/manifests/values.yaml" >"$here/deploy/manifests/poolscope-proxy.yaml"
    exit
fi

for helm in helm3 helm4; do
    command -v $helm >/dev/null || { fail "$helm is missing: run .ci/tools.sh deploy"; continue; }
    for values in "$tests"/values/*.yaml; do
        name=$(basename "$values")
        checked=$((checked + 1))
        $helm lint --strict --quiet "$chart" -f "$values" >"$scratch/lint" 2>&1 ||
            fail "$helm lint $name: $(cat "$scratch/lint")"
        render $helm "$values" >"$scratch/out" || fail "$helm template $name"
        compare "$tests/golden/$name" "$scratch/out" "$helm template $name"
    done
    for values in "$tests"/refused/*.yaml; do
        checked=$((checked + 1))
        reason=$(sed -n '1s/^# error: //p' "$values")
        [ -n "$reason" ] || { fail "$values has no reason"; continue; }
        if render $helm "$values" >"$scratch/out" 2>"$scratch/error"; then
            fail "$helm accepts $(basename "$values")"
        elif ! grep -qF "$reason" "$scratch/error"; then
            fail "$helm refuses $(basename "$values") for another reason: $(cat "$scratch/error")"
        fi
    done
    render $helm "$here/deploy/manifests/values.yaml" >"$scratch/out" || fail "manifests"
    compare "$here/deploy/manifests/poolscope-proxy.yaml" "$scratch/out" "$helm: plain manifests"
done

# The chart's versions are those of the workspace.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml" | head -n 1)
for key in version appVersion; do
    checked=$((checked + 1))
    grep -qx "$key: $version" "$chart/Chart.yaml" || fail "$key of Chart.yaml is not $version"
done
echo "chart: $checked checks, $failed failed"
[ "$failed" = 0 ]
