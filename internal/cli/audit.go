package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/audit"
	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
)

// auditor opens what records every read and write of a value; nil where the
// configuration has no audit block.
func (w *workspace) auditor() (planner.Auditor, error) {
	settings := w.cfg.Settings.Audit
	if settings == nil {
		return nil, nil
	}
	who := w.inv.lockInfo(w.inv.command)
	log, err := audit.Open(w.inv.path(settings.Path), audit.Options{
		Now: w.inv.Now, Project: w.cfg.Settings.Project, Who: who.Who, Command: who.Operation, At: w.inv.Seams.At,
	})
	if err != nil {
		return nil, err
	}
	return auditor{log, w}, nil
}

// auditor writes the planner's events into the log.
type auditor struct {
	log *audit.Log
	w   *workspace
}

// Record implements planner.Auditor.
func (a auditor) Record(ctx context.Context, e planner.AuditEvent) error {
	provider := e.Location.Provider
	if store := a.w.stores[provider]; store != nil {
		provider = store.Identity
	}
	return a.log.Record(ctx, audit.Event{
		Action: e.Action, Address: e.Address.String(), Provider: provider, Kind: e.Location.Kind, Path: e.Location.Path,
		Version: e.Version, Op: e.Op, Note: a.w.reason,
	})
}

func auditCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:        "audit",
		Usage:       "check the log of every read and write of a value",
		UsageText:   `coffer audit verify`,
		Subcommands: []*cli.Command{auditVerifyCommand(inv)},
	}
}

func auditVerifyCommand(inv *invocation) *cli.Command {
	var anchor string
	return &cli.Command{
		Name:      "verify",
		Usage:     "find an edited, dropped or moved record",
		ArgsUsage: "[FILE]",
		Description: `Without FILE it is the log of the configuration's audit block. The last record
is printed as an anchor: kept elsewhere and given as -anchor, it shows later
that the log was not cut before it, nor written anew. The file alone cannot.`,
		UsageText: `coffer audit verify
coffer audit verify audit.log -anchor 42:…`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "anchor", Usage: "the log must hold the record `NUMBER:HASH`", Destination: &anchor},
		},
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 0, 1); err != nil {
				return err
			}
			return runAuditVerify(c.Context, inv, c.Args().First(), anchor)
		},
	}
}

func runAuditVerify(_ context.Context, inv *invocation, file, anchor string) (err error) {
	var opts audit.VerifyOptions
	if anchor != "" {
		if opts.Anchor, err = audit.ParseAnchor(anchor); err != nil {
			return usageError{err}
		}
	}
	path, err := inv.auditPath(file)
	if err != nil {
		return err
	}
	f, err := durable.Open(durable.OS(), path, 0, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	report, err := audit.Verify(f, opts)
	if err != nil {
		return err
	}
	if inv.json {
		err = inv.printJSON(auditDocument(path, report, anchor != ""))
	} else {
		err = writeAuditReport(inv.Out, path, report, anchor != "")
	}
	return errors.Join(err, failed(!report.OK()))
}

func (inv *invocation) auditPath(file string) (string, error) {
	if file != "" {
		return inv.path(file), nil
	}
	cfg, _, err := inv.loadConfig()
	if err != nil {
		return "", err
	}
	if cfg.Settings.Audit == nil {
		return "", errors.New(`the configuration keeps no audit log; add audit { path = "audit.log" } to its coffer block, or name a file`)
	}
	return inv.path(cfg.Settings.Audit.Path), nil
}

func writeAuditReport(out io.Writer, path string, r audit.Report, anchored bool) error {
	w := render.NewWriter(out, render.Style{})
	fmt.Fprintf(w, "%s: %s", path, count(r.Records, "record"))
	if r.Records > 0 {
		fmt.Fprintf(w, " from %s to %s", r.First.UTC().Format(minutes), r.Last.UTC().Format(minutes))
	}
	fmt.Fprintln(w, ".")
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  line %d: %s: %s\n", p.Line, p.Kind, p.Text)
	}
	if more := r.Total - len(r.Problems); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
	if r.Torn > 0 {
		fmt.Fprintf(w, "  The last record is incomplete: a crash, or a command that writes just now.\n")
	}
	switch {
	case r.OK() && anchored:
		fmt.Fprintln(w, "Nothing was edited, dropped or moved, up to the anchor.")
	case r.OK():
		fmt.Fprint(w, "Nothing was edited, dropped or moved, as far as the file itself shows: that records were\n"+
			"cut from its end, or all of it written anew, shows only -anchor with an anchor kept elsewhere.\n")
	}
	if r.Anchor.Seq > 0 {
		fmt.Fprintf(w, "Anchor: %s\n", r.Anchor)
	}
	return w.Err()
}

func auditDocument(path string, r audit.Report, anchored bool) any {
	type problem struct {
		Line int    `json:"line"`
		Kind string `json:"kind"`
		Text string `json:"text"`
	}
	doc := struct {
		FormatVersion int       `json:"format_version"`
		File          string    `json:"file"`
		Valid         bool      `json:"valid"`
		Anchored      bool      `json:"anchored"` // without, a cut at the end is not seen
		Records       int       `json:"records"`
		Anchor        string    `json:"anchor,omitempty"`
		Problems      []problem `json:"problems"`
		Total         int       `json:"total"`
	}{FormatVersion: 1, File: path, Valid: r.OK(), Anchored: anchored, Records: r.Records, Problems: []problem{}, Total: r.Total}
	if r.Anchor.Seq > 0 {
		doc.Anchor = r.Anchor.String()
	}
	for _, p := range r.Problems {
		doc.Problems = append(doc.Problems, problem(p))
	}
	return doc
}
