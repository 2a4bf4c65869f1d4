#!/usr/bin/env bash
# Installs what kube-proxy and its tests need and a Debian machine may lack.
set -euo pipefail
missing=()
command -v nft >/dev/null || missing+=(nftables)
command -v ip6tables-save >/dev/null || missing+=(iptables)
command -v ip >/dev/null || missing+=(iproute2)
command -v nsenter >/dev/null || missing+=(util-linux)
[ ${#missing[@]} -eq 0 ] || {
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
