#!/usr/bin/env bash
# Installs what the agent's tests need and a Debian machine may lack.
set -euo pipefail
missing=()
command -v clang-19 >/dev/null || missing+=(clang-19)
command -v ip6tables >/dev/null || missing+=(iptables)
command -v ip >/dev/null || missing+=(iproute2)
command -v unshare nsenter >/dev/null || missing+=(util-linux)
[ ${#missing[@]} -eq 0 ] || {
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
