#!/bin/sh
# Asks GitHub for the job's identity token, for ACTION_AUDIENCE. It goes into the
# output id-token of the step and is masked in the log; it is no argument of any
# program.
set -eu

if [ -z "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] || [ -z "${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}" ]; then
	echo "::notice title=coffer::There is no identity token: the job has no 'id-token: write' among its permissions, or the pull request comes from a fork, which gets none."
	exit 0
fi
answer=$(printf 'header = "Authorization: Bearer %s"\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" |
	curl --config - --silent --show-error --fail --proto '=https' --retry 3 --connect-timeout 20 --max-time 60 \
		--get --data-urlencode "audience=$ACTION_AUDIENCE" "$ACTIONS_ID_TOKEN_REQUEST_URL") || {
	echo "::error title=coffer::GitHub gave no identity token for the audience; curl says more in the log"
	exit 1
}
token=$(printf '%s' "$answer" | tr -d '\n' | sed -n 's/.*"value"[[:space:]]*:[[:space:]]*"\([A-Za-z0-9._-]*\)".*/\1/p')
if [ -z "$token" ]; then
	echo "::error title=coffer::GitHub answered, and there is no identity token in the answer"
	exit 1
fi
echo "::add-mask::$token"
echo "id-token=$token" >>"$GITHUB_OUTPUT"
