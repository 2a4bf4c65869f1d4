#!/bin/sh
# Builds the example outside the tree against an installed library, dynamic and static, and runs
# both.
#   install.sh PREFIX
set -eu
prefix=$1
here=$(cd "$(dirname "$0")/.." && pwd)
data=$(cd "$here/../../tests/data/recorded" && pwd)
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"

outside=$(mktemp -d)
trap 'rm -rf "$outside"' EXIT
cp "$here/examples/filter.c" "$outside"
cd "$outside"
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Werror filter.c $(pkg-config --cflags --libs poolscope) -o dynamic
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Werror -static filter.c \
    $(pkg-config --static --cflags --libs poolscope) -o static

ldd dynamic | grep -q "$prefix/lib/libpoolscope.so" || {
    echo "the dynamic example does not use $prefix" >&2
    exit 1
}
for program in dynamic static; do
    "./$program" hz-edge-1 \
        /api/v1/services "$data/list/services-json.json" \
        /api/v1/nodes "$data/list/nodes-json.json" \
        /apis/apps.openyurt.io/v1beta2/nodepools "$data/list/nodepools-json.json" \
        /apis/discovery.k8s.io/v1/endpointslices "$data/list/endpointslices-json.json" \
        > "$program.json" 2> "$program.err"
done
cmp dynamic.json static.json
if cmp -s static.json "$data/list/endpointslices-json.json"; then
    echo "nothing was filtered" >&2
    exit 1
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")
[ "$(pkg-config --modversion poolscope)" = "$version" ]
foreign=$(nm -g --defined-only "$prefix/lib/libpoolscope.a" |
    grep -v ' poolscope_' | grep ' ' || true)
foreign=$foreign$(nm -D --defined-only "$prefix/lib/libpoolscope.so" |
    grep -v ' poolscope_' || true)
[ -z "$foreign" ] || { echo "symbols that are not poolscope's: $foreign" >&2; exit 1; }
strip dynamic static
echo "installed in $prefix: $(stat -Lc %s "$prefix/lib/libpoolscope.so") bytes shared," \
    "$(stat -c %s static) bytes static program with libc"
