package cli

import (
	"time"

	"github.com/urfave/cli/v2"
)

// planAt is -at of plan: a plan as of a time to come, which is never applied.
type planAt struct{ text string }

func (a *planAt) flag() cli.Flag {
	return &cli.StringFlag{
		Name: "at", Usage: "show what will be due by `DATE`, such as 2027-01-31 or 2027-01-31T06:00:00Z; never applied", Destination: &a.text,
	}
}

// time returns the time that was asked for, zero without one. A date alone
// counts to its end, in UTC: what is due in the course of that day is due. What
// is past is refused: the state knows no past.
func (a *planAt) time(now time.Time, out string) (time.Time, error) {
	switch {
	case a.text == "":
		return time.Time{}, nil
	case out != "":
		return time.Time{}, usagef("a plan of -at is never applied, so it is not saved: leave out -at or -out")
	}
	at, err := time.Parse(time.RFC3339, a.text)
	if err != nil {
		day, err := time.Parse(time.DateOnly, a.text)
		if err != nil {
			return time.Time{}, usagef("-at is a date such as 2027-01-31, or a time such as 2027-01-31T06:00:00Z, not %q", a.text)
		}
		at = day.AddDate(0, 0, 1).Add(-time.Second)
	}
	if at.Before(now) {
		return time.Time{}, usagef("-at %s is past; coffer plan shows what is due now", a.text)
	}
	return at.UTC(), nil
}
