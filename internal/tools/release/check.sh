#!/usr/bin/env bash
# Builds a release of the last commit twice, in two folders, with a build cache
# each and as differently as one machine allows, and compares every file. It
# takes as long as compiling Coffer eight times. The release is left in
# build/release-check.
set -euo pipefail
cd "$(dirname "$0")/../../.."

place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
one="$place/one" two="$place/another/and longer"

build() { # FOLDER [VARIABLE=VALUE...]
	local dir="$1"
	shift
	mkdir -p "$(dirname "$dir")"
	git clone --quiet . "$dir"
	env "$@" GOCACHE="$place/cache-$(basename "$dir")" GIT_CONFIG_GLOBAL=/dev/null \
		make -C "$dir" --no-print-directory release >"$place/sums"
	rm -rf "$place/cache-$(basename "$dir")"
}

build "$one" TZ=UTC LC_ALL=C
(umask 077 && build "$two" TZ=Asia/Kathmandu LC_ALL=C.UTF-8 GOMAXPROCS=1 USER=somebody HOSTNAME=elsewhere)

if ! diff -r "$one/build/release" "$two/build/release"; then
	echo "two releases of one commit differ" >&2
	exit 1
fi
rm -rf build/release-check
mkdir -p build
mv "$one/build/release" build/release-check
echo "two releases of $(git rev-parse --short=12 HEAD) are the same, in build/release-check:"
cat build/release-check/*_checksums.txt
