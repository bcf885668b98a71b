package sops

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// readerAge is the reader function of this platform.
const readerAge = "age_recipient"

// Readers returns age_recipient.
func (d *Driver) Readers() []string { return []string{readerAge} }

// CompileAccess returns one object of kind recipients for each file with
// managed secrets: the provider's recipients of that environment, or those of
// .sops.yaml, and the readers that are granted every managed secret in it. A
// grant of less than a whole file cannot be: a recipient opens all of it.
func (d *Driver) CompileAccess(managed []providers.Managed, grants []providers.Grant) ([]providers.ObjectSpec, error) {
	files := map[string][]providers.Managed{}
	for _, m := range managed {
		p, err := locate(m.Path)
		if err != nil {
			return nil, &providers.AccessError{Grant: -1, Err: err}
		}
		files[p.file] = append(files[p.file], m)
	}
	granted := map[string][]int{} // grants that touch a file
	for i, g := range grants {
		if err := checkReader(g.Reader); err != nil {
			return nil, &providers.AccessError{Grant: i, Err: err}
		}
		for _, path := range g.Paths {
			p, err := locate(path)
			if err != nil {
				return nil, &providers.AccessError{Grant: i, Err: err}
			}
			if !slices.Contains(granted[p.file], i) {
				granted[p.file] = append(granted[p.file], i)
			}
		}
	}
	var specs []providers.ObjectSpec
	for _, file := range sortedKeys(files) {
		spec, err := d.compileFile(file, files[file], grants, granted[file])
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

func checkReader(r providers.Reader) error {
	if r.Func != readerAge || len(r.Args) != 1 {
		return fmt.Errorf("%s: want %s(\"age1…\")", r.Func, readerAge)
	}
	_, err := parseRecipient(strings.TrimSpace(r.Args[0]))
	return err
}

func (d *Driver) compileFile(file string, managed []providers.Managed, grants []providers.Grant, touching []int) (providers.ObjectSpec, error) {
	spec := providers.ObjectSpec{Ref: providers.ObjectRef{Kind: KindRecipients, Path: file}}
	for _, m := range managed {
		spec.Paths = append(spec.Paths, m.Path)
	}
	slices.Sort(spec.Paths)
	spec.Paths = slices.Compact(spec.Paths)

	recipients, err := d.baseRecipients(file, managed)
	if err != nil {
		return spec, &providers.AccessError{Grant: -1, Err: err}
	}
	for _, i := range touching {
		recipient := strings.TrimSpace(grants[i].Reader.Args[0])
		if err := coversAll(file, spec.Paths, grants, touching, recipient); err != nil {
			return spec, &providers.AccessError{Grant: i, Err: err}
		}
		if d.rules != nil && !slices.Contains(recipients, recipient) {
			return spec, &providers.AccessError{Grant: i, Err: fmt.Errorf(
				"%s rules who can open %s, and its rule lacks this reader; add the line `- %s` to the rule's age recipients", rulesFile, file, recipient)}
		}
		recipients = append(recipients, recipient)
	}
	if len(recipients) == 0 {
		return spec, &providers.AccessError{Grant: -1, Err: fmt.Errorf(
			"nobody could open %s: give the provider `recipients`, or a policy an %s reader", file, readerAge)}
	}
	spec.Document = document(recipients)
	return spec, nil
}

// coversAll checks that a reader is granted every managed secret of a file,
// by one policy or by several.
func coversAll(file string, paths []string, grants []providers.Grant, touching []int, recipient string) error {
	var missing []string
	for _, path := range paths {
		covered := slices.ContainsFunc(touching, func(i int) bool {
			return strings.TrimSpace(grants[i].Reader.Args[0]) == recipient && slices.Contains(grants[i].Paths, path)
		})
		if !covered {
			missing = append(missing, path)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("a sops reader is a recipient of the whole file: its policy has all secrets in it; %s also holds %s (add them to the policy, or give them another `path`)",
		file, strings.Join(missing, ", "))
}

// baseRecipients returns who can open a file before any policy.
func (d *Driver) baseRecipients(file string, managed []providers.Managed) ([]string, error) {
	if d.rules != nil {
		rule, err := ruleFor(d.rules, d.ruled(file))
		return slices.Clone(rule.recipients), err
	}
	recipients := d.recipients.in(managed[0].Environment)
	for _, m := range managed[1:] {
		if !slices.Equal(recipients, d.recipients.in(m.Environment)) {
			return nil, fmt.Errorf("%s holds secrets of the environments %q and %q, whose recipients differ, and a recipient opens the whole file; give them different paths",
				file, managed[0].Environment, m.Environment)
		}
	}
	return slices.Clone(recipients), nil
}

// ruled returns a file's path as the rules of .sops.yaml see it.
func (d *Driver) ruled(file string) string { return d.disk.in(file) }

// document is the text of a recipients object: one a line, sorted.
func document(recipients []string) string {
	sorted := slices.Sorted(slices.Values(recipients))
	return strings.Join(slices.Compact(sorted), "\n") + "\n"
}

// parseDocument is the inverse of document.
func parseDocument(text string) ([]string, error) {
	var recipients []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			recipients = append(recipients, line)
		}
	}
	if len(recipients) == 0 {
		return nil, errors.New("a file needs at least one recipient")
	}
	slices.Sort(recipients)
	return slices.Compact(recipients), nil
}
