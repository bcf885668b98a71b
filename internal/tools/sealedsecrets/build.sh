#!/usr/bin/env bash
# Builds the Sealed Secrets controller and kubeseal for the tests, at the version
# of the go.mod beside this script, and prints the folder that holds them and
# sealedsecrets.yaml, the definition of their resource. It is kept in a cache
# outside the tree, by the hash of go.mod, go.sum and this script, so that it is
# built once a version.
set -euo pipefail
cd "$(dirname "$0")"
module=github.com/bitnami-labs/sealed-secrets

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

key="$(cat go.mod go.sum build.sh | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/sealedsecrets-$key"
if [ ! -e "$dir/done" ]; then
	echo "building the Sealed Secrets controller and kubeseal for the tests, once; this takes minutes" >&2
	mkdir -p "$dir"
	# Two runs at once would take twice as long to make the same files.
	if command -v flock >/dev/null; then exec 9>"$dir/lock" && flock 9; fi
fi
if [ ! -e "$dir/done" ]; then
	# As for the Kubernetes API server, see its README: no debug information, and
	# types and clients made by generators without optimisation.
	flags=()
	for tree in k8s.io sigs.k8s.io github.com golang.org google.golang.org; do
		flags+=("-gcflags=$tree/...=-dwarf=false")
	done
	for tree in k8s.io/api k8s.io/client-go/applyconfigurations k8s.io/client-go/kubernetes k8s.io/client-go/informers \
		k8s.io/client-go/listers; do
		flags+=("-gcflags=$tree/...=-N -l -dwarf=false")
	done
	build() { # PACKAGE FILE
		GOGC=400 CGO_ENABLED=0 "${GO:-go}" build -trimpath -pgo=off "${flags[@]}" -ldflags "-s -w" -o "$dir/$2" "$module/cmd/$1" >&2
	}
	build controller controller
	build kubeseal kubeseal
	source="$("${GO:-go}" list -m -f '{{.Dir}}' "$module")"
	install -m 644 "$source/helm/sealed-secrets/crds/bitnami.com_sealedsecrets.yaml" "$dir/sealedsecrets.yaml"
	touch "$dir/done"
fi
echo "$dir"
