package coffer

deny contains finding(change, "is deleted, and no removed block says so") if {
	some change in input.changes
	in_production(change)
	change.action == "delete"
	not change.confirmed
	change.reason != "moved" # a moved block has already brought it to its new place
	not startswith(change.address, "provider.") # goes with the last secret in it
}

deny contains finding(change, sprintf("loses the value of its field %s", [name])) if {
	some change in input.changes
	in_production(change)
	some name, field in change.fields
	field.op == "drop"
}
