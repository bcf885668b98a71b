#!/usr/bin/env bash
# Builds the real sops tool, at the version of the go.mod beside this script,
# and prints where it is. It is kept in a cache outside the tree, by the hash
# of go.sum, so that it is built once a version.
set -euo pipefail
cd "$(dirname "$0")"

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

key="$(cat go.mod go.sum | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/sops-$key"
if [ ! -x "$dir/sops" ]; then
	echo "building the sops tool for the tests, once; this takes minutes" >&2
	mkdir -p "$dir"
	"${GO:-go}" build -o "$dir/sops.$$" github.com/getsops/sops/v3/cmd/sops >&2
	mv "$dir/sops.$$" "$dir/sops"
fi
echo "$dir/sops"
