package coffer

deny contains finding(change, sprintf("gets a reader who is not in readers.json: %s", [reader])) if {
	some change in input.changes
	in_production(change)
	change.location.kind == "recipients"
	some reader in lines(object.get(change, "after", ""))
	not reader in lines(object.get(change, "before", ""))
	not listed(reader)
}

# A rule of its own, so that nobody is listed where there is no readers.json.
listed(reader) if reader in data.readers

lines(text) := {line | some line in split(text, "\n"); line != ""}
