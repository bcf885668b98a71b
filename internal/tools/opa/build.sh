#!/usr/bin/env bash
# Builds the real opa tool for the tests, at the version of the go.mod beside this
# script, and prints where it is. It is kept in a cache outside the tree, by the
# hash of go.sum, so that it is built once a version.
set -euo pipefail
cd "$(dirname "$0")"

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

key="$(cat go.mod go.sum build.sh | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/opa-$key"
if [ ! -x "$dir/opa" ]; then
	echo "building the opa tool for the tests, once" >&2
	mkdir -p "$dir"
	CGO_ENABLED=0 "${GO:-go}" build -trimpath -ldflags "-s -w" -o "$dir/opa.$$" github.com/open-policy-agent/opa >&2
	mv "$dir/opa.$$" "$dir/opa"
fi
echo "$dir/opa"
