#!/bin/sh
# Runs one job of coffer with the inputs of the action, which are in ACTION_*
# variables. Exit code 2 (changes, drift) is in the output and fails no step.
set -eu

fail() {
	echo "::error title=coffer::$*"
	exit 1
}

# Each line is one argument, whatever is in it.
set --
while read -r line; do
	if [ -n "$line" ]; then set -- "$@" "$line"; fi
done <<LINES
${ACTION_ARGS:-}
LINES

case ${ACTION_COMMAND:-} in
plan | drift)
	[ -z "${ACTION_PLAN_DIGEST:-}" ] || fail "plan-digest is for the command apply"
	;;
apply)
	[ -n "${ACTION_PLAN_DIGEST:-}" ] || fail "apply needs plan-digest: the digest that the comment, or the summary of the plan, shows"
	set -- -plan-digest "$ACTION_PLAN_DIGEST" "$@"
	;;
*) fail "command is one of plan, apply, drift and install" ;;
esac

# Of the caller's own variables nothing is replaced by an input that is empty.
if [ -n "${ACTION_TOKEN:-}" ]; then export COFFER_GITHUB_TOKEN="$ACTION_TOKEN"; fi
if [ -n "${ACTION_ID_TOKEN:-}" ]; then export COFFER_ID_TOKEN="$ACTION_ID_TOKEN"; fi
unset ACTION_TOKEN ACTION_ID_TOKEN

echo "exitcode=1" >>"$GITHUB_OUTPUT" # until coffer says another
code=0
coffer ci "$ACTION_COMMAND" "$@" || code=$?
if [ "$code" -eq 2 ]; then code=0; fi
exit "$code"
