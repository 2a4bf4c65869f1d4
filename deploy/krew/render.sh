#!/bin/sh
# Prints the manifest for krew: render.sh VERSION FOLDER, where FOLDER has an archive
# poolscope-OS-ARCH.tar.gz for each platform of the manifest.
set -eu
version=$1
folder=$2
cd "$(dirname "$0")"
text=$(sed "s/VERSION/$version/g; /^#/d" poolscope.yaml)
for platform in $(sed -n 's/^ *sha256: SHA256-//p' poolscope.yaml); do
	sum=$(sha256sum "$folder/poolscope-$platform.tar.gz" | cut -d' ' -f1)
	text=$(printf '%s\n' "$text" | sed "s/SHA256-$platform/$sum/")
done
printf '%s\n' "$text"
