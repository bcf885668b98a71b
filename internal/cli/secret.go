package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func secretCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:        "secret",
		Usage:       "supply a manual value, or look at one",
		UsageText:   `coffer secret set 'app.checkout.secret.stripe["production"]'`,
		Subcommands: []*cli.Command{secretSetCommand(inv), secretGetCommand(inv)},
	}
}

type secretOptions struct {
	address string
	field   string
	raw     bool
}

func secretSetCommand(inv *invocation) *cli.Command {
	var opts secretOptions
	return &cli.Command{
		Name:      "set",
		Usage:     "supply the value of a manual secret",
		ArgsUsage: "ADDRESS",
		Description: `Asks without showing what is typed, or takes stdin byte for byte. A value is
never an argument: arguments are seen by other programs and kept in histories.`,
		UsageText: `coffer secret set 'app.checkout.secret.stripe["production"]'
coffer secret set 'app.checkout.secret.tls["production"]' -field key < key.pem`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "field", Usage: "set the field `F` of a secret with fields", Destination: &opts.field},
		},
		Action: func(c *cli.Context) error {
			if err := inv.secretArguments(c, &opts); err != nil {
				return err
			}
			return runSecretSet(c.Context, inv, opts)
		},
	}
}

// secretArguments takes the one address, and never repeats what else was
// given: it may be a value.
func (inv *invocation) secretArguments(c *cli.Context, opts *secretOptions) error {
	if c.Args().Len() > 1 {
		return usagef("coffer %s takes one address and no value: arguments are seen by other programs; "+
			"type the value when asked, or give it on stdin", inv.command)
	}
	if err := inv.arguments(c, 1, 1); err != nil {
		return err
	}
	opts.address = c.Args().First()
	return nil
}

func runSecretSet(ctx context.Context, inv *invocation, opts secretOptions) (err error) {
	a, err := one(opts.address)
	if err != nil {
		return err
	}
	// Nobody waits for the lock while a person types.
	look, err := inv.open(ctx, opening{phase: providers.PhaseApply})
	if err != nil {
		return err
	}
	if err := look.isManual(a, opts.field); err != nil {
		return err
	}
	value, err := inv.readSecret(ctx, a)
	if err != nil {
		return err
	}
	w, err := inv.openWorkspace(ctx, "secret set")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	plan, err := w.plan(ctx, true, planner.DiffOptions{
		Targets: []addr.Address{a}, Rotations: planner.RotationsNone,
		Settle: []planner.Settlement{{Address: a, Kind: planner.SettleSet, Fields: []string{opts.field}}},
	})
	if err != nil {
		return err
	}
	return w.carryOut(ctx, job{
		plan: plan, given: true,
		manual: map[addr.Address]map[string]secret.Value{a: {opts.field: value}},
	})
}

// one parses an address that names exactly one secret.
func one(text string) (addr.Address, error) {
	a, err := addr.Parse(text)
	switch {
	case err != nil:
		return a, usageError{err}
	case a.App == "" || a.Name == "" || a.Environment == "":
		return a, usagef(`%s is not one secret: name its environment too, as in app.shop.secret.db["dev"]`, text)
	}
	return a, nil
}

// isManual makes sure that a person may supply the field, before asking for it.
func (w *workspace) isManual(a addr.Address, field string) error {
	r := w.desired.At(a)
	if r == nil || r.Secret == nil {
		return fmt.Errorf("the configuration has no secret %s", a)
	}
	var manual []string
	for _, f := range r.Secret.Fields {
		if f.Source.Kind == lang.Manual {
			manual = append(manual, f.Name)
		}
	}
	switch {
	case slices.Contains(manual, field):
		return nil
	case len(manual) == 0:
		return fmt.Errorf("%s is not manual(): coffer makes its value, and coffer rotate makes a new one", a)
	case field == "":
		return usagef("%s has fields; name one with -field: %s", a, strings.Join(manual, ", "))
	}
	return usagef("%s has no manual field %q; it has %s", a, field, strings.Join(manual, ", "))
}

// readSecret asks for a value without showing it, or takes stdin as it is.
func (inv *invocation) readSecret(ctx context.Context, a addr.Address) (secret.Value, error) {
	data, err := inv.secretBytes(ctx, a)
	defer clear(data) // best effort
	switch {
	case err != nil:
		return secret.Value{}, err
	case len(data) == 0:
		return secret.Value{}, errors.New("the value is empty; nothing was changed")
	case len(data) > maxInput:
		return secret.Value{}, fmt.Errorf("the value is larger than %d bytes", maxInput)
	}
	return secret.New(data), nil
}

func (inv *invocation) secretBytes(ctx context.Context, a addr.Address) ([]byte, error) {
	fd, ok := terminal(inv.In)
	if !ok {
		data, err := inv.readStdin(ctx)
		if err == nil && strings.Count(string(data), "\n") == 1 && data[len(data)-1] == '\n' {
			inv.say("The value ends with a newline, which is kept. To leave it out: printf %%s VALUE | coffer secret set …")
		}
		return data, err
	}
	if !inv.canAsk() {
		return nil, errors.New("there is no terminal to ask on: give the value on stdin")
	}
	return inv.askHidden(ctx, fd, fmt.Sprintf("Value of %s: ", a))
}

func secretGetCommand(inv *invocation) *cli.Command {
	var opts secretOptions
	return &cli.Command{
		Name:      "get",
		Usage:     "print a value, to a terminal or with -raw to a pipe",
		ArgsUsage: "ADDRESS[@STORE]",
		Description: `The one command that prints a value. It says who asked in the audit log, where
the configuration has one.`,
		UsageText: `coffer secret get 'app.checkout.secret.db["production"]' -field password
coffer secret get 'app.shop.secret.db["dev"]' -field password -raw | pbcopy`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "field", Usage: "print the field `F` of a secret with fields", Destination: &opts.field},
			&cli.BoolFlag{Name: "raw", Usage: "print the bytes as they are, to a file or a pipe too", Destination: &opts.raw},
		},
		Action: func(c *cli.Context) error {
			if err := inv.secretArguments(c, &opts); err != nil {
				return err
			}
			return runSecretGet(c.Context, inv, opts)
		},
	}
}

func runSecretGet(ctx context.Context, inv *invocation, opts secretOptions) error {
	a, err := one(opts.address)
	if err != nil {
		return err
	}
	_, toTerminal := terminal(inv.Out)
	switch {
	case inv.json:
		return usagef("a value has no JSON form; leave out -json, and give -raw for a pipe")
	case !toTerminal && !opts.raw:
		return usagef("stdout is not a terminal; give -raw if the value may go there")
	}
	w, err := inv.open(ctx, opening{phase: providers.PhaseApply})
	if err != nil {
		return err
	}
	value, err := w.read(ctx, a, opts.field)
	if err != nil {
		return err
	}
	return value.Expose(func(plaintext []byte) error {
		if !opts.raw {
			// On a terminal the text must not command it.
			return printValue(inv.Out, plaintext)
		}
		_, err := inv.Out.Write(plaintext)
		return err
	})
}

// read reads one value of a recorded secret, after saying so in the audit log.
func (w *workspace) read(ctx context.Context, a addr.Address, field string) (secret.Value, error) {
	none := secret.Value{}
	r := w.desired.At(a)
	if r == nil || r.Secret == nil {
		return none, fmt.Errorf("the configuration has no secret %s; coffer graph lists them", a)
	}
	log, err := w.auditor()
	if err != nil {
		return none, err
	}
	if log != nil {
		err := log.Record(ctx, planner.AuditEvent{
			Action: "read", Address: a,
			Location: planner.Location{Provider: r.Store, Kind: r.Location.Kind, Path: r.Location.Path},
		})
		if err != nil {
			return none, err
		}
	}
	value, err := w.stores[r.Store].Read(ctx, r.Location.Path, "")
	if err == nil {
		value, err = r.Open(w.snapshot.Entries[r.Location], value)
	}
	switch {
	case err != nil:
		return none, err
	case !value.IsObject() && field == "":
		return value, nil
	case !value.IsObject():
		return none, usagef("%s is a single value and has no field %q", a, field)
	}
	one, ok := value.Field(field)
	if !ok {
		return none, usagef("%s has fields; name one with -field: %s", a, strings.Join(value.Names(), ", "))
	}
	return one, nil
}
