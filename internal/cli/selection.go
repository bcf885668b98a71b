package cli

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// selection are the flags that narrow a plan, an apply or a drift check.
type selection struct {
	targets   []string
	excludes  []string
	rotations string
}

func (s *selection) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "target", Usage: "only `ADDRESS`, all below it and what it depends on; may be repeated"},
		&cli.StringSliceFlag{Name: "exclude", Usage: "not `ADDRESS` nor what is below it; may be repeated"},
		&cli.StringFlag{
			Name: "rotations", Usage: "take up rotations that are due: `WHICH` is due, none or only",
			Value: string(planner.RotationsDue), Destination: &s.rotations,
		},
	}
}

// collect takes the lists from c; urfave/cli has no destination for them.
func (s *selection) collect(c *cli.Context) {
	s.targets, s.excludes = c.StringSlice("target"), c.StringSlice("exclude")
}

// options returns what the selection asks of the planner.
func (s *selection) options() (planner.DiffOptions, error) {
	opts := planner.DiffOptions{Rotations: planner.Rotations(s.rotations), Judge: true}
	switch opts.Rotations {
	case planner.RotationsDue, planner.RotationsNone, planner.RotationsOnly:
	default:
		return opts, usagef("-rotations is due, none or only, not %q", s.rotations)
	}
	var err error
	if opts.Targets, err = addresses(s.targets); err != nil {
		return opts, err
	}
	opts.Excludes, err = addresses(s.excludes)
	return opts, err
}

// knows refuses a selection of what does not exist: a mistyped address must
// not look like "nothing to do".
func (w *workspace) knows(o planner.DiffOptions) error {
	return w.known(slices.Concat(o.Targets, o.Excludes))
}

// known refuses addresses that neither the configuration nor the state has.
func (w *workspace) known(targets []addr.Address) error {
	for _, a := range targets {
		found := false
		for _, r := range w.desired.Resources {
			found = found || a.Contains(r.Address)
		}
		for _, e := range w.snapshot.Entries {
			found = found || a.Contains(e.Address)
		}
		if !found {
			return fmt.Errorf("neither the configuration nor the state has %s; coffer graph and coffer state list show what there is", a)
		}
	}
	return nil
}
