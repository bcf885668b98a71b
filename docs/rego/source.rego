package coffer

deny contains finding(change, sprintf("takes a value from wherever apply runs: %s", [field.source])) if {
	some change in input.changes
	in_production(change)
	some field in change.fields
	field.op == "set"
	regex.match(`\bfrom_(env|file|dotenv)\(`, field.source)
}
