#!/bin/sh
# Signs a server certificate of poolscope-proxy by the cluster's CA.
#
#     certificate.sh CA.CRT CA.KEY OUT [DAYS [ADDRESS...]]
#
# Writes OUT/tls.crt and OUT/tls.key for the addresses (default: 127.0.0.1 and ::1). Needs openssl.
set -eu
[ $# -ge 3 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
ca=$1 key=$2 out=$3 days=${4:-365}
shift 3
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- 127.0.0.1 ::1
names=
for address in "$@"; do names="${names:+$names,}IP:$address"; done
umask 077
mkdir -p "$out"
openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$out/tls.key"
request=$out/request.pem extensions=$out/extensions
trap 'rm -f "$request" "$extensions"' EXIT
openssl req -new -key "$out/tls.key" -subj /CN=poolscope-proxy -out "$request"
cat >"$extensions" <<EOF
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $names
EOF
openssl x509 -req -in "$request" -CA "$ca" -CAkey "$key" -set_serial "0x$(openssl rand -hex 16)" \
    -days "$days" -extfile "$extensions" -out "$out/tls.crt" 2>/dev/null
openssl verify -CAfile "$ca" "$out/tls.crt" >/dev/null
echo "$out/tls.crt and $out/tls.key: $names, $days days"
