#!/usr/bin/env bash
# Builds the Google Cloud Storage server of the tests, at the version of the
# go.mod beside this script, and prints where it is. It is kept in a cache
# outside the tree, by the hash of every source file here, so that it is built
# once a version.
set -euo pipefail
cd "$(dirname "$0")"

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# The names are hashed too, so that a moved file counts.
key="$(find . -type f \( -name go.mod -o -name go.sum -o -name '*.go' -o -name build.sh \) | LC_ALL=C sort |
	while read -r f; do echo "$f" && cat "$f"; done | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/fakegcs-$key"
if [ ! -x "$dir/fakegcs" ]; then
	echo "building the Google Cloud Storage server for the tests, once" >&2
	mkdir -p "$dir"
	CGO_ENABLED=0 "${GO:-go}" build -trimpath -ldflags "-s -w" -o "$dir/fakegcs.$$" . >&2
	mv "$dir/fakegcs.$$" "$dir/fakegcs"
fi
echo "$dir/fakegcs"
