package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/dotenv"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
)

type discoverOptions struct {
	what   []string // a store, or "dotenv" and a file
	prefix string
	rules  []string
	out    string
}

func discoverCommand(inv *invocation) *cli.Command {
	var opts discoverOptions
	return &cli.Command{
		Name:      "discover",
		Usage:     "write blocks for what exists: in a store, or in a .env file",
		ArgsUsage: "STORE | dotenv FILE",
		Description: `From a store, by metadata alone, come app, secret and import blocks for every
secret that the configuration does not have. From a .env file come secrets with
from_dotenv() as their source and an env_file with the old names: plan, apply,
compare, and only then remove the .env file. No value is written anywhere.

-map says what becomes what: names that match REGEX go to the place behind "=",
where $1 is the first group. Of several the first that matches counts, and what
matches none is left out. Without it a .env file becomes an app with the name of
the folder, in the one environment that there is.`,
		UsageText: `coffer discover dotenv .env -out shop.hcl
coffer discover dotenv .env -map '(.*)=shop/dev/$1' -out shop.hcl
coffer discover sops -map 'a/(.*)=a/dev/$1' -map '(.*)=b/dev/$1' -out b.hcl
coffer discover sops -out found.hcl`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "prefix", Usage: "only what begins with `P`", Destination: &opts.prefix},
			&cli.StringSliceFlag{Name: "map", Usage: "`REGEX=app/env/secret`; may be repeated"},
			&cli.StringFlag{Name: "out", Usage: "write the blocks to the new `FILE`", Destination: &opts.out},
		},
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 1, 2); err != nil {
				return err
			}
			opts.what, opts.rules = c.Args().Slice(), c.StringSlice("map")
			return runDiscover(c.Context, inv, opts)
		},
	}
}

func runDiscover(ctx context.Context, inv *invocation, opts discoverOptions) error {
	fromFile := opts.what[0] == "dotenv"
	switch {
	case fromFile && len(opts.what) != 2:
		return usagef("coffer discover dotenv needs the FILE")
	case !fromFile && len(opts.what) != 1:
		return usagef("coffer discover takes one STORE, and %q is one too many", opts.what[1])
	case opts.out == "":
		return usagef("coffer discover needs -out FILE, a new *.hcl file of the configuration")
	}
	out := inv.path(opts.out)
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists, and discover overwrites nothing; name another file with -out", out)
	}
	to, err := parseRules(opts.rules)
	if err != nil {
		return err
	}
	var found *discovery
	if fromFile {
		found, err = inv.discoverDotenv(opts, to)
	} else {
		found, err = inv.discoverStore(ctx, opts, to)
	}
	if err != nil {
		return err
	}
	return inv.reportDiscovery(found, out)
}

func (inv *invocation) reportDiscovery(found *discovery, out string) error {
	for _, text := range found.notes {
		inv.say("%s", text)
	}
	if len(found.secrets) == 0 {
		return fmt.Errorf("nothing was found that the configuration does not have; no file was written (coffer doctor tells whether the store itself is in order)")
	}
	if err := createFile(out, found.blocks()); err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(struct {
			FormatVersion int      `json:"format_version"`
			File          string   `json:"file"`
			Secrets       int      `json:"secrets"`
			Notes         []string `json:"notes"`
		}{1, out, len(found.secrets), append([]string{}, found.notes...)})
	}
	_, err := fmt.Fprintf(inv.Out, "Wrote %s with %s. Look at it, then: coffer plan\n", out, count(len(found.secrets), "secret"))
	return err
}

// rule turns a name into the place of a secret.
type rule struct {
	match  *regexp.Regexp
	target string
}

// rules are tried in order; the first that matches counts.
type rules []rule

func parseRules(texts []string) (rules, error) {
	var list rules
	for _, text := range texts {
		r, err := parseRule(text)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// place returns where a name goes; ok is false where no rule matches.
func (list rules) place(name string) (p providers.Place, ok bool, err error) {
	for _, r := range list {
		if p, ok, err = r.place(name); ok || err != nil {
			return p, ok, err
		}
	}
	return p, false, nil
}

// parseRule reads REGEX=app/env/secret; the last "=" divides, since a regular
// expression may hold one.
func parseRule(text string) (rule, error) {
	i := strings.LastIndexByte(text, '=')
	if i < 0 || strings.Count(text[i+1:], "/") != 2 {
		return rule{}, usagef("-map wants REGEX=app/environment/secret, not %q", text)
	}
	re, err := regexp.Compile("^(?:" + text[:i] + ")$")
	if err != nil {
		return rule{}, usagef("-map: %v", err)
	}
	return rule{re, text[i+1:]}, nil
}

// place returns where a name goes; ok is false where the rule does not match.
func (r rule) place(name string) (p providers.Place, ok bool, err error) {
	at := r.match.FindStringSubmatchIndex(name)
	if at == nil {
		return p, false, nil
	}
	parts := strings.Split(string(r.match.ExpandString(nil, r.target, name, at)), "/")
	if len(parts) != 3 {
		return p, false, fmt.Errorf("-map makes %q of %q, which is not app/environment/secret", strings.Join(parts, "/"), name)
	}
	p = providers.Place{
		Kind: addr.KindSecret, App: validName(parts[0]), Environment: validName(parts[1]), Name: validName(parts[2]),
	}
	return p, true, nil
}

// validName makes a name of the language out of any text.
func validName(s string) string {
	clean := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}
	name := strings.TrimLeft(strings.Map(clean, strings.ToLower(s)), "-_0123456789")
	name = name[:min(len(name), 63)]
	if name == "" {
		return "secret"
	}
	return name
}

// discoverDotenv makes a secret of every variable of a .env file.
func (inv *invocation) discoverDotenv(opts discoverOptions, to rules) (*discovery, error) {
	source, err := filepath.Rel(inv.dir(), inv.path(opts.what[1]))
	if err != nil || !filepath.IsLocal(source) {
		return nil, fmt.Errorf("%s is outside the configuration folder, where from_dotenv() cannot read it; copy it there first", opts.what[1])
	}
	data, found, err := inputs{dir: inv.dir()}.file(filepath.ToSlash(source))
	if err == nil && !found {
		err = fmt.Errorf("there is no file %s", source)
	}
	if err != nil {
		return nil, err
	}
	file, err := dotenv.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, brokenDotenv(source, data, err)
	}
	cfg, _, err := inv.loadConfig()
	if err != nil {
		return nil, err
	}
	d := newDiscovery(cfg, filepath.ToSlash(source))
	if len(to) == 0 {
		if to, err = inv.defaultRules(d); err != nil {
			return nil, err
		}
	}
	for _, w := range file.Warnings {
		d.note("%s: %s", source, w)
	}
	for _, v := range file.Variables {
		if strings.HasPrefix(v.Name, opts.prefix) {
			if err := d.addVariable(v, to); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// brokenDotenv says all that is wrong with a file, to be mended at once.
func brokenDotenv(source string, data []byte, err error) error {
	problems := dotenv.Problems(data)
	if len(problems) < 2 {
		return fmt.Errorf("%s: %w", source, err)
	}
	text := make([]string, len(problems))
	for i, p := range problems {
		text[i] = "  " + p.Error()
	}
	return fmt.Errorf("%s has mistakes on %d lines:\n%s", source, len(problems), strings.Join(text, "\n"))
}

// defaultRules put everything into one app, named after the folder, in the
// one environment that there is. An app of that name may be there already, such
// as the one of init; the new one gets another name then.
func (inv *invocation) defaultRules(d *discovery) (rules, error) {
	app, err := projectName(inv.dir())
	if err != nil {
		return nil, err
	}
	if folder := app; d.hasApp(app) {
		app = folder[:min(len(folder), 40)] + "-env"
		for n := 2; d.hasApp(app); n++ {
			app = fmt.Sprintf("%s-env-%d", folder[:min(len(folder), 40)], n)
		}
		d.note("The configuration has an app %q already, so the new one is %q; -map gives it another name.", folder, app)
	}
	var environments []string
	for name := range d.cfg.Environments {
		environments = append(environments, name)
	}
	if len(environments) != 1 {
		slices.Sort(environments)
		return nil, usagef("there are %d environments (%s): say which with -map '(.*)=%s/ENVIRONMENT/$1'",
			len(environments), strings.Join(environments, ", "), app)
	}
	return parseRules([]string{"(.*)=" + app + "/" + environments[0] + "/$1"})
}

// discoverStore makes a secret of everything in a store that neither the
// configuration nor the state has.
func (inv *invocation) discoverStore(ctx context.Context, opts discoverOptions, to rules) (*discovery, error) {
	w, list, err := inv.openUnconnected(ctx, opening{})
	if err != nil {
		return nil, err
	}
	if len(w.cfg.Secrets) == 0 { // the first thing in a new project
		w.stores, _ = planner.Connect(ctx, list, w.snapshot)
		w.desired = &planner.Desired{}
	} else if err := w.connect(ctx, list); err != nil {
		return nil, err
	}
	store := w.stores[opts.what[0]]
	switch {
	case store == nil:
		return nil, fmt.Errorf("the configuration has no provider %q; it has %v, and dotenv reads a .env file", opts.what[0], w.stores.Refs())
	case store.Err != nil:
		return nil, store.Err
	}
	listed, err := store.List(ctx)
	if err != nil {
		return nil, err
	}
	d := newDiscovery(w.cfg, "")
	skipped := map[string]int{}
	for _, path := range sorted(listed) {
		if !strings.HasPrefix(store.Written(path), opts.prefix) {
			continue
		}
		if why := w.leftOut(store, path, listed[path]); why != "" {
			skipped[why]++
		} else if err := d.addFound(store, path, listed[path], to); err != nil {
			return nil, err
		}
	}
	for _, why := range sorted(skipped) {
		d.note("%s: %s left out.", why, count(skipped[why], "secret"))
	}
	d.noteUnplaced(len(to) > 0)
	return d, nil
}

// leftOut says why a secret of a store becomes no block, "" if it does.
func (w *workspace) leftOut(store *planner.Store, path string, meta providers.Meta) string {
	at := addr.Location{Provider: store.Identity, Kind: addr.KindSecret, Path: path}
	mark := meta.Attributes.Mark.Project
	switch {
	case w.desired.On(at) != nil || w.snapshot.Entries[at] != nil:
		return "Already in the configuration or the state"
	case meta.IsDeleted():
		return "Deleted, and only kept by the store"
	case mark == "":
		return ""
	case mark == w.cfg.Settings.Project:
		return "Ours and in no block; a block at their place adopts them, coffer plan lists them"
	}
	return fmt.Sprintf("Marked for project %q; coffer import -take-over adopts one", mark)
}
