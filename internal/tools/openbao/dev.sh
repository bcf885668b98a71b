#!/usr/bin/env bash
# An OpenBao in memory, for a person to try things on: dev.sh [PORT]. AppRole
# sign-in is enabled. Ctrl-C ends it, and all that it holds with it.
set -euo pipefail
bao="$("$(dirname "$0")/build.sh")"
address="127.0.0.1:${1:-8200}"
cat >&2 <<END
OpenBao at http://$address, in memory only. In another terminal:

  export VAULT_ADDR=http://$address VAULT_TOKEN=root

END
exec "$bao" server -dev -dev-root-token-id=root -dev-listen-address="$address" -dev-approle -log-level=warn
