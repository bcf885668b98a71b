#!/usr/bin/env bash
# Tests the packages that have test files behind a build tag: tagged.sh servers
set -euo pipefail
cd "$(dirname "$0")/../.."
tag="$1"

packages="$(grep -rlE --include='*_test.go' "^//go:build .*\b$tag\b" . | xargs -n 1 dirname | sort -u)"
# shellcheck disable=SC2086 # one argument a package
"${GO:-go}" test -tags "urfave_cli_no_docs,$tag" $packages
