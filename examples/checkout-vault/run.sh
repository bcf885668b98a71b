#!/usr/bin/env bash
# A day with two apps on Vault or OpenBao: run.sh, with VAULT_ADDR and VAULT_TOKEN
# of a server that may be played with (`make openbao` starts one). COFFER is the
# program; without it, the one on PATH. Everything local is in a folder of its own.
set -euo pipefail

: "${VAULT_ADDR:?is not set: make openbao starts a server and says what to export}"
: "${VAULT_TOKEN:?is not set: a root token, of a server to play with}"
example="$(cd "$(dirname "$0")" && pwd)"
coffer="$(command -v "${COFFER:-coffer}")"
case "$coffer" in /*) ;; *) coffer="$PWD/$coffer" ;; esac
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config"
unset SOPS_AGE_KEY SOPS_AGE_KEY_FILE COFFER_STATE COFFER_FINGERPRINT_KEY VAULT_NAMESPACE
mkdir -p "$HOME" "$work/shop"
cd "$work/shop"
root="$VAULT_TOKEN"

# shellcheck source=../story.sh
. "$example/../story.sh"

# api TOKEN METHOD PATH [FIELD=VALUE…] calls the server as somebody else would.
# The token goes in by a file descriptor, not by an argument.
api() {
	local token="$1" method="$2" path="$3" field fields=()
	shift 3
	for field; do fields+=(--data-urlencode "$field"); done
	curl -sS --fail-with-body -X "$method" -H @<(printf 'X-Vault-Token: %s' "$token") ${fields[@]+"${fields[@]}"} "$VAULT_ADDR/v1/$path"
}

# field NAME takes one text out of a JSON answer.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

say "A project with a key of yours, for the copies in encrypted files."
run 0 init
cp -R "$example"/*.hcl "$example/policies" .

say "Two identities, each with the least that this configuration needs."
for phase in plan apply; do
	echo "$ coffer permissions -phase $phase | vault policy write coffer-$phase -"
	"$coffer" permissions -phase "$phase" >"$work/$phase.policy.hcl"
	api "$root" PUT "sys/policies/acl/coffer-$phase" "policy@$work/$phase.policy.hcl"
done
plan_token="$(api "$root" POST auth/token/create policies=coffer-plan ttl=1h | field client_token)"
apply_token="$(api "$root" POST auth/token/create policies=coffer-apply ttl=1h | field client_token)"
grep '^path' "$work/plan.policy.hcl"

say "What would happen? The plan's identity can read no value and write nothing."
export VAULT_TOKEN="$plan_token"
run 0 plan

say "Do it, with the other identity. At a terminal it would ask."
export VAULT_TOKEN="$apply_token"
run 0 apply -auto-approve

say "A person brings the value that only a person has, with an identity of their own."
export VAULT_TOKEN="$root"
printf sk_test_4242 | "$coffer" secret set 'app.checkout.secret.stripe["production"]'
printf sk_test_4242 | "$coffer" secret set 'app.checkout.secret.stripe["dev"]'
export VAULT_TOKEN="$plan_token"
run 0 plan -detailed-exitcode

say "The program signs in with its AppRole and reads what it may, and nothing else."
role_id="$(api "$root" GET auth/approle/role/checkout-production/role-id | field role_id)"
secret_id="$(api "$root" POST auth/approle/role/checkout-production/secret-id | field secret_id)"
program="$(api "" POST auth/approle/login "role_id=$role_id" "secret_id=$secret_id" | field client_token)"
for path in checkout/production/db checkout/dev/db reports/production/db_url; do
	if api "$program" GET "shop/data/payments/$path" >/dev/null 2>&1; then echo "reads    $path"; else echo "does not $path"; fi
done

say "Somebody changes a value by hand, and somebody else lets everybody read."
curl -sS --fail-with-body -o /dev/null -H @<(printf 'X-Vault-Token: %s' "$root") -d '{"data":{"value":"by hand"}}' \
	"$VAULT_ADDR/v1/shop/data/payments/checkout/production/api_key"
api "$root" PUT sys/policies/acl/everybody 'policy=path "shop/data/*" { capabilities = ["read"] }'

say "Drift tells both, with exit code 2, still without reading a value."
run 2 drift

say "The policy goes, and the recorded value is written again."
api "$root" DELETE sys/policies/acl/everybody
export VAULT_TOKEN="$root" # restore reads a value: the apply policy above has no such right here
run 0 restore 'app.checkout.secret.api_key["production"]' -auto-approve
export VAULT_TOKEN="$plan_token"
run 0 drift

say "A new value for the program, and its copy in the encrypted file follows."
export VAULT_TOKEN="$apply_token"
run 0 rotate 'app.checkout.secret.api_key["production"]' -auto-approve
grep '^[a-z]' secrets/production/checkout.yaml | cut -c 1-60

say "Who can read the database's password?"
run 0 graph -reads 'app.checkout.secret.db["production"]'

say "That is all. Next: docs/providers/vault.md"
