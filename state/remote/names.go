package remote

import "strings"

// OwnName reports whether a state of that name would lie where the journal, the
// lock or a probe of another state may lie, in a backend that puts a dot and the
// name of the blob behind the state's.
func OwnName(key string) bool {
	return strings.HasSuffix(key, "."+JournalBlob) || strings.HasSuffix(key, "."+LockBlob) || strings.Contains(key, "."+ProbePrefix)
}
