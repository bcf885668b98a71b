#!/usr/bin/env bash
# A day with an app whose secrets go to Kubernetes: run.sh, with VAULT_ADDR and
# VAULT_TOKEN of a server that may be played with, KUBECONFIG of such a cluster,
# and SEALING_CERTIFICATE, the file that `kubeseal --fetch-cert` prints. README.md
# says what has to be there. COFFER is the program; without it, the one on PATH.
# Everything local is in a folder of its own.
set -euo pipefail

: "${VAULT_ADDR:?is not set: make openbao starts a server and says what to export}"
: "${VAULT_TOKEN:?is not set: a root token, of a server to play with}"
: "${KUBECONFIG:?is not set: the kubeconfig of a cluster to play with}"
: "${SEALING_CERTIFICATE:?is not set: kubeseal --fetch-cert > sealing.pem, and its path}"
example="$(cd "$(dirname "$0")" && pwd)"
coffer="$(command -v "${COFFER:-coffer}")"
case "$coffer" in /*) ;; *) coffer="$PWD/$coffer" ;; esac
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config"
unset SOPS_AGE_KEY SOPS_AGE_KEY_FILE COFFER_STATE COFFER_FINGERPRINT_KEY
mkdir -p "$HOME" "$work/shop"
cp "$example"/*.hcl "$example"/*.tmpl "$work/shop"
cp "$SEALING_CERTIFICATE" "$work/shop/sealing.pem"
cd "$work/shop"
file=deploy/staging/checkout.yaml

# shellcheck source=../story.sh
. "$example/../story.sh"

say "What would happen? No value is read for it."
run 0 plan

say "Do it. At a terminal it would ask."
run 0 apply -auto-approve

say "The file for staging can be committed: nobody but its cluster opens it."
cut -c 1-72 "$file"

say "Nothing to do is nothing done: the file stays byte for byte."
before="$(cksum "$file")"
run 0 apply -auto-approve
[ "$before" = "$(cksum "$file")" ]

say "A new value for staging, and into the file with it. Only that item is sealed anew."
cp "$file" "$work/before.yaml"
run 0 rotate 'app.checkout.secret.api_key["staging"]' -auto-approve
run 0 apply -auto-approve
diff "$work/before.yaml" "$file" | cut -c 1-40 || true

say "Production: has the operator fetched what it was told to? Drift asks it."
for _ in $(seq 60); do
	if "$coffer" drift >/dev/null 2>&1; then break; fi
	sleep 1
done
run 0 drift

say "Who can read the password of production?"
run 0 graph -reads 'app.checkout.secret.db["production"]'

say "That is all. Next: docs/kubernetes.md"
