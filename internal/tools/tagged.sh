#!/usr/bin/env bash
# Tests the packages that have test files behind a build tag: tagged.sh servers
set -euo pipefail
cd "$(dirname "$0")/../.."
tag="$1"

packages="$(grep -rlE --include='*_test.go' "^//go:build .*\b$tag\b" . | xargs -n 1 dirname | sort -u)"
ours="" nested=""
for package in $packages; do
	if [ -f "$package/go.mod" ]; then nested="$nested $package"; else ours="$ours $package"; fi
done
# shellcheck disable=SC2086 # one argument a package
"${GO:-go}" test -tags "urfave_cli_no_docs,$tag" $ours
# A module of its own that tests this one: Go cannot tell when its results are old.
for package in $nested; do
	(cd "$package" && "${GO:-go}" test -count 1 -tags "urfave_cli_no_docs,$tag" .)
done
