#!/usr/bin/env bash
# Builds the External Secrets controller for the tests, at the version of the
# go.mod beside this script, and prints the folder that holds it and crds, the
# definitions of its resources. It is kept in a cache outside the tree, by the
# hash of go.mod, go.sum and this script, so that it is built once a version. The
# README says what is left out, and how to take a new version.
set -euo pipefail
cd "$(dirname "$0")"
module=github.com/external-secrets/external-secrets
providers='fake\|kubernetes\|vault'
generators='fake\|password\|uuid'

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# copy DIR makes a copy of the module in DIR/src with the providers and generators
# above only, and DIR/go.mod and DIR/go.sum, which point to it.
copy() {
	local source kind keep
	source="$("${GO:-go}" list -m -f '{{.Dir}}' "$module")"
	if [ ! -d "$source" ]; then
		"${GO:-go}" mod download "$module" >&2
		source="$("${GO:-go}" list -m -f '{{.Dir}}' "$module")"
	fi
	rm -rf "$1/src"
	mkdir -p "$1/src"
	(cd "$source" && cp -R apis cmd config pkg go.mod main.go "$1/src")
	chmod -R u+w "$1/src"
	for kind in provider generator; do
		keep="$providers"
		[ "$kind" = provider ] || keep="$generators"
		sed "/^	_ /{/\/\($keep\)\"\$/!d;}" "$source/pkg/$kind/register/register.go" >"$1/src/pkg/$kind/register/register.go"
	done
	cp go.mod go.sum "$1"
	"${GO:-go}" mod edit -replace "$module=$1/src" "$1/go.mod"
}

# tidy brings go.mod and go.sum up to what the copy needs.
tidy() {
	local work
	work="$(mktemp -d)"
	"${GO:-go}" mod download "$module" >&2
	copy "$work"
	"${GO:-go}" mod tidy -e -modfile="$work/go.mod" >&2
	cp "$work/go.mod" "$work/go.sum" .
	rm -rf "$work"
	"${GO:-go}" mod edit -dropreplace "$module"
	"${GO:-go}" mod download "$module" >&2
}

if [ "${1:-}" = tidy ]; then
	tidy
	exit
fi

key="$(cat go.mod go.sum build.sh | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/externalsecrets-$key"
if [ ! -e "$dir/done" ]; then
	echo "building the External Secrets controller for the tests, once; this takes minutes" >&2
	mkdir -p "$dir"
	# Two runs at once would take twice as long to make the same file.
	if command -v flock >/dev/null; then exec 9>"$dir/lock" && flock 9; fi
fi
if [ ! -e "$dir/done" ]; then
	copy "$dir"
	# As for the Kubernetes API server, see its README: no debug information, and
	# types and clients made by generators without optimisation.
	flags=()
	for tree in k8s.io sigs.k8s.io github.com golang.org google.golang.org go.uber.org; do
		flags+=("-gcflags=$tree/...=-dwarf=false")
	done
	for tree in k8s.io/api k8s.io/client-go/applyconfigurations k8s.io/client-go/kubernetes k8s.io/client-go/informers \
		k8s.io/client-go/listers github.com/aws; do
		flags+=("-gcflags=$tree/...=-N -l -dwarf=false")
	done
	GOGC=400 CGO_ENABLED=0 "${GO:-go}" build -modfile="$dir/go.mod" -trimpath -pgo=off "${flags[@]}" -ldflags "-s -w" \
		-o "$dir/external-secrets" "$module" >&2
	rm -rf "$dir/crds"
	mkdir "$dir/crds"
	cp "$dir"/src/config/crds/bases/*external-secrets.io_*.yaml "$dir/crds"
	rm -rf "$dir/src" "$dir/go.mod" "$dir/go.sum"
	touch "$dir/done"
fi
echo "$dir"
