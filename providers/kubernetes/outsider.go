package kubernetes

import (
	"fmt"
	"time"
)

// outsider returns which manager besides us set a part of an object last, and
// when, if that was not before we did. What lies in its metadata does not count,
// and neither does the status: that is the controller's.
func (l *live) outsider() (who string, when time.Time) {
	var ours time.Time
	for i, entry := range l.Metadata.ManagedFields {
		if i >= len(l.managed) || entry.Subresource != "" || !l.managed[i].Fields.content() {
			continue
		}
		switch {
		case entry.Manager == managerObjects:
			ours = entry.Time
		case !entry.Time.Before(when):
			who, when = entry.Manager, entry.Time
		}
	}
	if when.Before(ours) {
		return "", time.Time{}
	}
	return who, when.UTC()
}

// content reports whether a set of fields has more than what every object has
// beside its content.
func (t tree) content() bool {
	for key := range t {
		switch key {
		case "f:metadata", "f:status", "f:apiVersion", "f:kind", ".":
		default:
			return true
		}
	}
	return false
}

// byOutsider is what a message says of one.
func (l *live) byOutsider() string {
	who, when := l.outsider()
	if who == "" {
		return ""
	}
	return fmt.Sprintf(": %.80q set a part of it at %s", who, when.Format(time.RFC3339))
}
