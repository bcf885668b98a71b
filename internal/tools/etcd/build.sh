#!/usr/bin/env bash
# Builds etcd, the database of the Kubernetes API server of the tests, at the
# version of the go.mod beside this script, and prints where it is. It is kept in
# a cache outside the tree, by the hash of go.sum, so that it is built once a
# version.
set -euo pipefail
cd "$(dirname "$0")"

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

key="$(cat go.mod go.sum build.sh | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/etcd-$key"
if [ ! -x "$dir/etcd" ]; then
	echo "building etcd for the tests, once; this takes minutes" >&2
	mkdir -p "$dir"
	CGO_ENABLED=0 "${GO:-go}" build -trimpath -ldflags "-s -w" -o "$dir/etcd.$$" go.etcd.io/etcd/server/v3 >&2
	mv "$dir/etcd.$$" "$dir/etcd"
fi
echo "$dir/etcd"
