#!/usr/bin/env bash
# A day with Coffer, in a folder and a home of its own: run.sh, or make
# quickstart. COFFER is the program; without it, the one on PATH.
set -euo pipefail

example="$(cd "$(dirname "$0")" && pwd)"
coffer="$(command -v "${COFFER:-coffer}")"
case "$coffer" in /*) ;; *) coffer="$PWD/$coffer" ;; esac
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config"
unset SOPS_AGE_KEY SOPS_AGE_KEY_FILE COFFER_STATE COFFER_FINGERPRINT_KEY
mkdir -p "$HOME" "$work/shop"
cd "$work/shop"

# shellcheck source=../story.sh
. "$example/../story.sh"

say "A project: a starter configuration, a key of yours, and you as the first reader."
run 0 init
cp "$example/coffer.hcl" coffer.hcl

say "What would happen? A plan reads no values, and needs no key."
run 0 plan

say "Do it. At a terminal it would ask; here it is told not to."
run 0 apply -auto-approve

say "Plan again: there is nothing left to do."
run 0 plan -detailed-exitcode

say "The values are in a file that the sops tool opens. Names are clear, values are not."
grep -v '^ ' secrets/dev/shop.yaml | cut -c 1-72

say "The session key gets a new value. Then somebody puts the old file back by hand."
cp secrets/dev/shop.yaml ../yesterday.yaml
run 0 rotate 'app.shop.secret.session_key["dev"]' -auto-approve
cp ../yesterday.yaml secrets/dev/shop.yaml

say "Drift tells, with exit code 2, still without reading a value."
run 2 drift

say "It was on purpose? Then the live version becomes ours."
run 0 accept 'app.shop.secret.session_key["dev"]' -auto-approve
run 0 drift

say "That is all. Next: docs/README.md"
