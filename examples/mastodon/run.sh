#!/usr/bin/env bash
# The secrets of a Mastodon server, in a folder and a home of their own. COFFER
# and SOPS are the programs; without them, those on PATH. Needs Go, for the
# checker. Without the sops tool the last step is left out, and that is said.
set -euo pipefail

example="$(cd "$(dirname "$0")" && pwd)"
coffer="$(command -v "${COFFER:-coffer}")"
case "$coffer" in /*) ;; *) coffer="$PWD/$coffer" ;; esac
sops="${SOPS:-sops}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
(cd "$example" && go build -o "$work/check" ./check)
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config"
unset SOPS_AGE_KEY SOPS_AGE_KEY_FILE COFFER_STATE COFFER_FINGERPRINT_KEY
unset SMTP_LOGIN_DEV SMTP_PASSWORD_DEV SMTP_LOGIN_PRODUCTION SMTP_PASSWORD_PRODUCTION
mkdir -p "$HOME" "$work/mastodon"
cd "$work/mastodon"

# shellcheck source=../story.sh
. "$example/../story.sh"

say "A project: the configuration, a key of yours, and you as the first reader."
cp "$example"/*.hcl .
run 0 init

say "What would happen? The SMTP credentials are not needed for that."
run 0 plan

say "They are for apply. It says what is missing before it does anything."
run 1 apply -auto-approve

say "Those of a mail provider that does not exist."
export SMTP_LOGIN_DEV='dev@example.com' SMTP_PASSWORD_DEV='dev $HOME "#1"'
export SMTP_LOGIN_PRODUCTION='live@example.com' SMTP_PASSWORD_PRODUCTION="it's %41 \\n"
run 0 apply -auto-approve
run 0 plan -detailed-exitcode

say "Keys that stored data is encrypted with are not rotated, whatever was meant."
run 1 rotate app.mastodon.secret.active_record_encryption -auto-approve

if ! command -v "$sops" >/dev/null; then
	say "The sops tool is not here, so the checker is not started. getsops.io"
	exit
fi
unset SMTP_LOGIN_DEV SMTP_PASSWORD_DEV SMTP_LOGIN_PRODUCTION SMTP_PASSWORD_PRODUCTION
for environment in dev production; do
	say "What a program gets that sops exec-env starts, in $environment."
	echo "$ sops exec-env secrets/$environment/mastodon-web.env ./check"
	"$sops" exec-env "secrets/$environment/mastodon-web.env" "$work/check"
done
