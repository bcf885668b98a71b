package coffer

# Only a plan can pass: what coffer plan -json prints when it could not begin has
# no changes to find anything in.
deny contains "not a plan of format_version 1" if not is_plan

is_plan if {
	input.format_version == 1
	input.values_read == 0
	is_array(input.changes)
}

production := `^app\..*\["(prod|production|prod-[^"]*|production-[^"]*)"(\]|\]@[^"]*)$`

in_production(change) if regex.match(production, change.address)

# The readers of a file are in no environment, but the secrets in it are.
in_production(change) if {
	some secret in change.secrets
	regex.match(production, secret)
}

# The block, or the place in the store where no block is left.
place(change) := sprintf("%s:%d", [change.range.file, change.range.line])

place(change) := sprintf("%s %s", [change.location.provider, change.location.path]) if not change.range

# One line for a log: names of files and texts of a pull request are somebody
# else's, so what a terminal or a CI system would obey is taken out.
finding(change, text) := regex.replace(
	sprintf("%s: %s %s", [place(change), change.address, text]),
	`[^ -~]|##|^\s*::`, "?",
)
