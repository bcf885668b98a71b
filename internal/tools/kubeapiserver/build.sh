#!/usr/bin/env bash
# Builds the Kubernetes API server for the tests, at the version of the go.mod
# beside this script, and prints where it is. It is kept in a cache outside the
# tree, by the hash of go.mod, go.sum and this script, so that it is built once a
# version. The README says what the settings below save.
set -euo pipefail
cd "$(dirname "$0")"
version=v1.37.2

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

key="$(cat go.mod go.sum build.sh | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/kubeapiserver-$key"
if [ ! -x "$dir/kube-apiserver" ]; then
	echo "building the Kubernetes API server for the tests, once; this takes many minutes" >&2
	mkdir -p "$dir"
	# Two runs at once would take twice as long to make the same file.
	if command -v flock >/dev/null; then exec 9>"$dir/lock" && flock 9; fi
fi
if [ ! -x "$dir/kube-apiserver" ]; then
	# No debug information. Types and clients made by generators, half of the
	# source, are compiled without optimisation; what does the work is not.
	flags=()
	for tree in k8s.io sigs.k8s.io github.com golang.org google.golang.org go.opentelemetry.io go.etcd.io go.uber.org; do
		flags+=("-gcflags=$tree/...=-dwarf=false")
	done
	for tree in k8s.io/api k8s.io/client-go/applyconfigurations k8s.io/client-go/kubernetes k8s.io/client-go/informers \
		k8s.io/client-go/listers k8s.io/kubernetes/pkg/apis k8s.io/kubernetes/pkg/generated; do
		flags+=("-gcflags=$tree/...=-N -l -dwarf=false")
	done
	set_version="k8s.io/component-base/version"
	# GOGC is the compiler's: less time for more memory.
	GOGC=400 CGO_ENABLED=0 "${GO:-go}" build -trimpath -pgo=off "${flags[@]}" \
		-ldflags "-s -w -X $set_version.gitVersion=$version -X $set_version.gitMajor=1 -X $set_version.gitMinor=37" \
		-o "$dir/kube-apiserver.$$" k8s.io/kubernetes/cmd/kube-apiserver >&2
	mv "$dir/kube-apiserver.$$" "$dir/kube-apiserver"
fi
echo "$dir/kube-apiserver"
