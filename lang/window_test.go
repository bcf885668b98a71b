package lang

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		window, at string
		open       bool
	}{
		{"", "2026-03-01T03:00:00Z", true},
		{"Sun 02:00-06:00 UTC", "2026-03-01T02:00:00Z", true}, // a Sunday
		{"Sun 02:00-06:00 UTC", "2026-03-01T06:00:00Z", false},
		{"Sun 02:00-06:00 UTC", "2026-03-02T03:00:00Z", false},
		{"Sun 02:00-06:00 UTC", "2026-03-01T04:00:00+02:00", true},
		{"Mon-Fri 22:00-02:00 UTC", "2026-03-06T23:00:00Z", true},
		{"Mon-Fri 22:00-02:00 UTC", "2026-03-07T01:59:00Z", true}, // still Friday's
		{"Mon-Fri 22:00-02:00 UTC", "2026-03-07T23:00:00Z", false},
		{"Mon-Fri 22:00-02:00 UTC", "2026-03-02T01:00:00Z", false}, // would be Sunday's
		{"Sat-Mon,Wed 00:00-01:00 UTC", "2026-03-01T00:30:00Z", true},
		{"Sat-Mon,Wed 00:00-01:00 UTC", "2026-03-03T00:30:00Z", false},
		{"02:00-06:00 UTC", "2026-03-04T05:59:59Z", true},
	} {
		w, err := ParseWindow(c.window)
		if err != nil {
			t.Fatalf("%q: %v", c.window, err)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Open(at); got != c.open {
			t.Errorf("%q at %s: open %v", c.window, c.at, got)
		}
	}
	for _, bad := range []string{"sometimes", "Sun 02:00-06:00", "Sun 2:00-6:00 UTC", "Sun-Tue-Fri 02:00-06:00 UTC", "Sun 24:00-06:00 UTC"} {
		if _, err := ParseWindow(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
