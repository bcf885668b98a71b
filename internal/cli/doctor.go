package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

func doctorCommand(inv *invocation) *cli.Command {
	var phase string
	return &cli.Command{
		Name:  "doctor",
		Usage: "check every provider and the project, and say the next step",
		Description: `Each provider: is it reached, who answers, is it sealed, does the token live and
may it do what this configuration needs. The project: state, lock, fingerprint
key, clock. Nothing is changed and no value is read; what fails hides nothing
that comes after it.

Exit code 3 means that a provider could not be reached, and nothing worse.`,
		UsageText: `coffer doctor
coffer doctor -phase apply
coffer doctor -json | jq .summary`,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "phase", Usage: "look with the identity of `PHASE`, plan or apply",
				Value: string(providers.PhasePlan), Destination: &phase,
			},
		},
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runDoctor(c.Context, inv, phase)
		},
	}
}

// doctorPatience is how long a doctor waits for a store that does not answer: a
// person wants to know that, not to see it mended.
const doctorPatience = time.Second

// doctor is one look at everything.
type doctor struct {
	w       *workspace
	project render.Checkup
	stores  []render.Checkup // of the providers, in the order of the blocks
	failed  bool             // something is wrong
	away    bool             // something could not be reached
}

func runDoctor(ctx context.Context, inv *invocation, text string) error {
	phase, err := parsePhase(text)
	if err != nil {
		return err
	}
	w, err := inv.openStateless(ctx, phase)
	if err != nil {
		return err
	}
	w.patience = doctorPatience
	d := &doctor{w: w, project: render.Checkup{Of: "project"}}
	d.look(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	list := append([]render.Checkup{d.project}, d.stores...)
	if inv.json {
		err = inv.document(func(out io.Writer) error { return render.DoctorJSON(out, text, list, inv.planWarnings()) })
	} else {
		err = render.DoctorText(inv.Out, list, inv.style(inv.Out))
	}
	switch {
	case err != nil:
		return err
	case d.failed:
		return outcome(ExitError)
	case d.away:
		return outcome(ExitUnknown)
	}
	return nil
}

// note adds a finding, the next step last; errors count for the exit code.
func (d *doctor) note(to *render.Checkup, subject string, status providers.FindingStatus, text, next string) {
	to.Findings = append(to.Findings, render.Finding{Subject: subject, Status: string(status), Text: text, Next: next})
	d.failed = d.failed || status == providers.FindingFail
}

func (d *doctor) look(ctx context.Context) {
	d.lookAtState(ctx)
	var opened []*providers.Provider
	wanted := slices.DeleteFunc(slices.Clone(d.w.blocks), func(b decodedProvider) bool {
		return d.w.filesOnly(b.block) && (d.w.snapshot == nil || d.w.snapshot.Providers[b.block.Ref()] == "")
	})
	for _, b := range wanted {
		p, err := d.w.openProvider(ctx, b)
		if err != nil {
			c := render.Checkup{Of: b.block.Ref()}
			d.fail(&c, "provider block", err)
			d.stores = append(d.stores, c)
			continue
		}
		opened = append(opened, p)
	}
	var diags []planner.Diagnostic
	d.w.stores, diags = planner.Connect(ctx, opened, d.w.snapshot)
	d.diagnose(diags)
	usable := len(opened) == len(wanted)
	if usable {
		d.w.desired, diags = planner.Desire(d.w.cfg, d.w.stores)
		d.diagnose(diags)
		usable = !hasErrors(diags)
	}
	if usable {
		d.note(&d.project, "configuration", providers.FindingOK,
			fmt.Sprintf("%s in %s", count(len(d.w.cfg.Secrets), "secret"), count(len(d.w.cfg.Environments), "environment")), "")
	}
	unsynced := map[string][]planner.Drift{}
	if usable {
		for _, drift := range planner.Unsynced(ctx, d.w.desired, d.recorded(), d.w.stores) {
			unsynced[drift.Location.Provider] = append(unsynced[drift.Location.Provider], drift)
		}
	}
	for _, p := range opened {
		c := d.examine(ctx, d.w.stores[p.Ref()], usable)
		for _, drift := range unsynced[p.Ref()] {
			d.note(&c, drift.Address.String(), providers.FindingWarn, drift.Detail, "")
		}
		d.stores = append(d.stores, c)
	}
}

// diagnose adds what the planner says of providers and configuration.
func (d *doctor) diagnose(list []planner.Diagnostic) {
	for _, diag := range list {
		status := providers.FindingFail
		if diag.Severity == planner.SeverityWarning {
			status = providers.FindingWarn
		}
		d.note(&d.project, "configuration", status, diag.Summary, diag.Detail)
	}
}

// examine looks at one provider; what it needs is known where the
// configuration is usable.
func (d *doctor) examine(ctx context.Context, store *planner.Store, usable bool) render.Checkup {
	code := providers.CodeOf(store.Err)
	reached := store.Err == nil || code != providers.Unavailable && code != providers.Throttled
	c := render.Checkup{Of: store.Ref(), Reached: &reached}
	switch {
	case store.Err == nil:
		c.Identity = store.Identity
		d.note(&c, "reached", providers.FindingOK, store.Identity, "")
	case !reached:
		d.away = true
		before := d.failed
		d.fail(&c, "reached", store.Err)
		d.failed = before // not told is not wrong
		return c
	default:
		d.fail(&c, "identity", store.Err)
	}
	if store.Incarnation != "" {
		d.note(&c, "container", providers.FindingOK, store.Incarnation, "")
	}
	var needed []providers.Permission
	if usable {
		needed, _, _ = store.Permissions(d.w.permissionRequest(d.recorded(), store.Ref(), d.w.phase))
	}
	for _, f := range store.Examine(ctx, needed) {
		if store.Err != nil && len(c.Findings) > 0 && strings.HasSuffix(c.Findings[0].Text, f.Text) {
			c.Findings = c.Findings[1:] // the examiner says it in its place
		}
		d.note(&c, f.Subject, f.Status, f.Text, f.Next)
	}
	return c
}

// recorded is the state, an empty one where it could not be read.
func (d *doctor) recorded() *state.Snapshot {
	project := d.w.cfg.Settings.Project
	if d.w.snapshot == nil || d.w.snapshot.CheckProject(project) != nil {
		return state.New(project, state.Lineage(project))
	}
	return d.w.snapshot
}

// fail adds an error with its next step apart.
func (d *doctor) fail(to *render.Checkup, subject string, err error) {
	text, hint := apart(err)
	d.note(to, subject, providers.FindingFail, text, hint)
}

// lookAtState looks at the files of the project.
func (d *doctor) lookAtState(ctx context.Context) {
	w, c := d.w, &d.project
	var err error
	switch w.snapshot, err = w.backend.Read(ctx); {
	case errors.Is(err, state.ErrNotExist):
		w.snapshot = state.New(w.cfg.Settings.Project, state.Lineage(w.cfg.Settings.Project))
		d.note(c, "state", providers.FindingOK, "there is none yet; the first coffer apply makes "+w.backend.Path(), "")
	case err != nil:
		d.fail(c, "state", err)
	default:
		d.lookAtSnapshot(w.snapshot)
	}
	for _, warning := range w.backend.Warnings() {
		d.note(c, "state", providers.FindingWarn, warning, "")
	}
	key, err := w.inv.fingerprintKey()
	switch {
	case err != nil:
		d.fail(c, "fingerprint key", err)
	case key.IsZero():
		d.note(c, "fingerprint key", providers.FindingWarn, "there is none here, so supplied values cannot be compared with what was written",
			"Get "+keyFile+" from somebody in the project, or set "+keyVariable+". In a new project `coffer init` makes it.")
	default:
		d.note(c, "fingerprint key", providers.FindingOK, "present", "")
	}
}

func (d *doctor) lookAtSnapshot(s *state.Snapshot) {
	c := &d.project
	if err := s.CheckProject(d.w.cfg.Settings.Project); err != nil {
		d.fail(c, "state", err)
		return
	}
	d.note(c, "state", providers.FindingOK, fmt.Sprintf("%s, serial %d, %s", d.w.backend.Path(), s.Serial, entries(len(s.Entries))), "")
	if pending := len(s.Pending()); pending > 0 && s.Holder == nil {
		d.note(c, "state", providers.FindingWarn, fmt.Sprintf("an apply was interrupted and left %s open", entries(pending)),
			"Run `coffer apply`: it looks what became of them, and goes on from there.")
	}
	if s.Holder != nil {
		d.note(c, "lock", providers.FindingWarn, fmt.Sprintf("held by %s since %s", holder(*s.Holder), s.Holder.Since.UTC().Format(time.RFC3339)),
			"Wait for it. If it hangs and cannot be stopped: `coffer state unlock "+s.Holder.ID+"`")
	} else {
		d.note(c, "lock", providers.FindingOK, "free", "")
	}
	d.lookAtClock(s)
}

// lookAtClock compares this machine's clock with the newest time that a run of
// ours recorded; the providers compare it with their servers'.
func (d *doctor) lookAtClock(s *state.Snapshot) {
	const tolerated = 5 * time.Minute
	now, newest, whose := d.w.inv.Now(), time.Time{}, addr.Address{}
	for _, e := range s.Entries {
		if e.RotatedAt.After(newest) {
			newest, whose = e.RotatedAt, e.Address
		}
	}
	if now.Add(tolerated).Before(newest) {
		d.note(&d.project, "clock", providers.FindingWarn,
			fmt.Sprintf("it says %s, and %s was written at %s", now.UTC().Format(time.RFC3339), whose, newest.UTC().Format(time.RFC3339)),
			"Set the clock of this machine: rotations are due by it.")
		return
	}
	d.note(&d.project, "clock", providers.FindingOK, now.UTC().Format(time.RFC3339), "")
}
