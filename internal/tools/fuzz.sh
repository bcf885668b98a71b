#!/usr/bin/env bash
# Runs every fuzz target of the module, two at a time: fuzz.sh 10s
#
# Each runs with one worker, so that two cores are used and no more. Minimising
# is bounded by a count: by default it may take the whole time of a short run.
set -euo pipefail
cd "$(dirname "$0")/../.."
export FUZZTIME="$1" GO="${GO:-go}"

one() {
	local file="${1%%:*}" name="${1##* }" log
	log="$LOGS/$(dirname "$file" | tr / .).$name"
	if ! "$GO" test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 5x -parallel 1 "${file%/*}" >"$log" 2>&1 &&
		! ended "$log"; then
		cat "$log" >&2
		exit 255 # ends xargs
	fi
	echo "ok  fuzz $name ${file%/*} ($(grep -ao 'execs: [0-9]*' "$log" | tail -1))"
}

# ended reports whether all that a run failed of is the end of its time: before
# Go 1.27 the coordinator may report its own deadline as a failure
# (https://go.dev/issue/75804). A real failure names its input.
ended() {
	grep -aqx '    context deadline exceeded' "$1" &&
		! grep -aqE 'Failing input written|failure while testing seed|panic:|FAIL: Fuzz[^ ]*/' "$1"
}
export -f one ended

LOGS="$(mktemp -d)"
export LOGS
trap 'rm -rf "$LOGS"' EXIT
targets="$(grep -roH --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort)"
echo "$targets" | xargs -d '\n' -P 2 -I{} bash -c 'one "$1"' _ {}
echo "$(wc -l <<<"$targets") fuzz targets"
