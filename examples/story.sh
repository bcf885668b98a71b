# What the run.sh of every example sources: it shows what it does, and ends where
# a command does not end as the story says. coffer is the path of the program.

say() { printf '\n# %s\n' "$*"; }

# quoted prints arguments as a person would type them.
quoted() {
	local arg
	for arg; do
		case "$arg" in
		*[\[\"]*) printf "'%s' " "$arg" ;;
		*) printf '%s ' "$arg" ;;
		esac
	done
}

# run EXIT ARGS… shows and runs a command that must end with that exit code.
run() {
	local want="$1" got=0
	shift
	echo "$ coffer $(quoted "$@")"
	"$coffer" "$@" || got=$?
	if [ "$got" -ne "$want" ]; then
		echo "exit code $got, expected $want" >&2
		exit 1
	fi
}
