#!/usr/bin/env bash
# Prints size and start time of a binary: bench.sh build/coffer
set -euo pipefail
runs=50

bytes="$(wc -c <"$1")"
awk -v b="$bytes" 'BEGIN { printf "binary: %.1f MB (budget 45)\n", b / 1e6 }'

TIMEFORMAT=%R
seconds="$({ time for ((i = 0; i < runs; i++)); do "$1" version >/dev/null; done; } 2>&1)"
awk -v s="$seconds" -v n="$runs" 'BEGIN { printf "coffer version: %.1f ms, mean of %d (budget 30)\n", s / n * 1000, n }'
