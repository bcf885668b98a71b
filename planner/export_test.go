package planner

// RowNames returns the names of the decision table's rows, for the test that
// wants a case for each.
func RowNames() []string {
	var names []string
	for _, r := range table() {
		names = append(names, r.name)
	}
	return names
}
