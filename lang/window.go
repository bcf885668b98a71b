package lang

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Window is a part of the week, such as "Sun 02:00-06:00 UTC". The zero Window
// is always open.
type Window struct {
	days     [7]bool // by time.Weekday; all false is every day
	from, to time.Duration
}

var errWindow = errors.New(`a window reads "Sun 02:00-06:00 UTC", "Mon-Fri 22:00-23:00 UTC" or "02:00-06:00 UTC"`)

var windowForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:[,-](?:Mon|Tue|Wed|Thu|Fri|Sat|Sun))*) )?` +
		`((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d) UTC$`)
})

// ParseWindow reads a window: days or a range of days (none is every day), a
// time span, UTC. A span whose end is not after its start goes past midnight
// and belongs to the day it starts on. The empty text is always open.
func ParseWindow(text string) (Window, error) {
	var w Window
	if text == "" {
		return w, nil
	}
	m := windowForm().FindStringSubmatch(text)
	if m == nil {
		return w, errWindow
	}
	if err := w.setDays(m[1]); err != nil {
		return w, err
	}
	w.from, w.to = clock(m[2]), clock(m[3])
	if w.to <= w.from {
		w.to += 24 * time.Hour
	}
	return w, nil
}

func (w *Window) setDays(text string) error {
	if text == "" {
		return nil
	}
	names := []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	for _, part := range strings.Split(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		if strings.Contains(last, "-") {
			return errWindow
		}
		for day := slices.Index(names, first); ; day = (day + 1) % 7 {
			w.days[day] = true
			if names[day] == last {
				break
			}
		}
	}
	return nil
}

func clock(text string) time.Duration {
	t, _ := time.Parse("15:04", text) // the form is checked
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

// Open reports whether t lies in the window.
func (w Window) Open(t time.Time) bool {
	if w.to == 0 {
		return true
	}
	t = t.UTC()
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	for _, start := range []time.Time{midnight, midnight.AddDate(0, 0, -1)} {
		since := t.Sub(start)
		if (w.days == [7]bool{} || w.days[start.Weekday()]) && since >= w.from && since < w.to {
			return true
		}
	}
	return false
}
