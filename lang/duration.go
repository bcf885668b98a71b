package lang

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxDuration bounds every duration of the language. It also keeps sums of a
// few durations far away from the overflow of time.Duration (292 years).
const maxDuration = 100 * 365 * 24 * time.Hour

// durationUnits returns the units from the largest to the smallest.
func durationUnits() []durationUnit {
	return []durationUnit{
		{"w", 7 * 24 * time.Hour},
		{"d", 24 * time.Hour},
		{"h", time.Hour},
		{"m", time.Minute},
		{"s", time.Second},
	}
}

type durationUnit struct {
	name string
	size time.Duration
}

// ParseDuration reads a duration as the language writes it: a whole number and
// one of the units w, d, h, m and s ("30d", "12h", "90m"), or several of them
// from the largest unit to the smallest, each at most once ("1h30m"). A day is
// always 24 hours. There is no sign, no fraction and no space, and nothing
// over 100 years. "0s" is valid; whether zero makes sense is the caller's to say.
func ParseDuration(s string) (time.Duration, error) {
	total, units, rest := time.Duration(0), durationUnits(), s
	if s == "" {
		return 0, durationError(s)
	}
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) {
			return 0, durationError(s)
		}
		count, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			count = math.MaxInt64 // too many digits: over the bound, whatever the unit
		}
		unit := rest[digits : digits+1]
		for len(units) > 0 && units[0].name != unit {
			units = units[1:]
		}
		if len(units) == 0 {
			return 0, durationError(s)
		}
		if count > int64(maxDuration/units[0].size) {
			return 0, durationTooLong(s)
		}
		total += time.Duration(count) * units[0].size
		units, rest = units[1:], rest[digits+1:]
	}
	if total > maxDuration {
		return 0, durationTooLong(s)
	}
	return total, nil
}

func durationError(s string) error {
	return fmt.Errorf(`%s is not a duration: want a whole number and a unit (w, d, h, m or s), such as "30d", "12h" or "90m", `+
		`or several from the largest unit to the smallest, such as "1h30m"`, quoteShort(s))
}

func durationTooLong(s string) error {
	return fmt.Errorf(`%s is too long: a duration is at most 100 years ("36500d")`, quoteShort(s))
}

// quoteShort quotes text from a configuration for a message, cut to a length
// that a person reads.
func quoteShort(s string) string {
	const most = 40
	if runes := []rune(s); len(runes) > most {
		return strconv.Quote(string(runes[:most])) + "…"
	}
	return strconv.Quote(s)
}

// FormatDuration writes d in the form that [ParseDuration] reads, in days,
// hours, minutes and seconds: "30d", "1h30m". What is below a second is cut
// off; within its bound every whole number of seconds survives the round trip.
// A negative duration, which only output has, gets a minus sign.
func FormatDuration(d time.Duration) string {
	var b strings.Builder
	if d < 0 {
		if d == math.MinInt64 {
			d++
		}
		d = -d
		if d >= time.Second {
			b.WriteByte('-')
		}
	}
	d = d.Truncate(time.Second)
	if d == 0 {
		return "0s"
	}
	for _, unit := range durationUnits()[1:] {
		if n := d / unit.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + unit.name)
			d -= n * unit.size
		}
	}
	return b.String()
}
