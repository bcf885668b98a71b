package sops

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// newDataKey returns a fresh data key.
func newDataKey(random io.Reader) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("no randomness for a data key: %w", err)
	}
	return key, nil
}

// newFile returns a file without values in the layout of sops. Its MAC is not
// valid yet: [finish] makes it so.
func newFile(f format, r rules, stanzas []stanza) (*file, error) {
	fields := r.fields()
	fields["lastmodified"] = time.Unix(0, 0).UTC().Format(time.RFC3339)
	fields["mac"] = sealedPrefix + "]"
	fields["version"] = formatVersion
	var b strings.Builder
	if f == formatYAML {
		b.WriteString(metadataKey + ":\n" + yamlAge(stanzas, yamlIndent, 2*yamlIndent, 2*yamlIndent+2, "\n"))
	} else {
		b.WriteString(dotenvAge(stanzas, 0))
	}
	for _, name := range sortedKeys(fields) {
		switch {
		case f == formatDotenv:
			b.WriteString(dotenvPrefix + name + "=" + fields[name] + "\n")
		case name == "lastmodified":
			b.WriteString(strings.Repeat(" ", yamlIndent) + name + ": " + strconv.Quote(fields[name]) + "\n")
		case name == "mac" || name == "mac_only_encrypted" || name == "version":
			b.WriteString(strings.Repeat(" ", yamlIndent) + name + ": " + fields[name] + "\n")
		default:
			b.WriteString(strings.Repeat(" ", yamlIndent) + name + ": " + yamlText(fields[name]) + "\n")
		}
	}
	return decode(f, []byte(b.String()))
}

// yamlAge returns the age entries of the metadata with their heading.
func yamlAge(stanzas []stanza, indent, dash, keys int, eol string) string {
	return strings.Repeat(" ", indent) + "age:" + eol + yamlAgeItems(stanzas, dash, keys, eol)
}

func yamlAgeItems(stanzas []stanza, dash, keys int, eol string) string {
	var b strings.Builder
	for _, s := range stanzas {
		b.WriteString(strings.Repeat(" ", dash) + "-" + strings.Repeat(" ", keys-dash-1) + "enc: |" + eol)
		for line := range strings.SplitSeq(strings.TrimSuffix(s.enc, "\n"), "\n") {
			b.WriteString(strings.Repeat(" ", keys+2) + line + eol)
		}
		b.WriteString(strings.Repeat(" ", keys) + "recipient: " + yamlText(s.recipient) + eol)
	}
	return b.String()
}

// dotenvAge returns the age entries of the metadata, numbered from first.
func dotenvAge(stanzas []stanza, first int) string {
	var b strings.Builder
	for i, s := range stanzas {
		prefix := fmt.Sprintf("%sage%s%d%s", dotenvPrefix, flatList, first+i, flatMap)
		b.WriteString(prefix + "enc=" + strings.ReplaceAll(s.enc, "\n", `\n`) + "\n")
		b.WriteString(prefix + "recipient=" + s.recipient + "\n")
	}
	return b.String()
}

// ageEdit returns the edit that adds stanzas to a file, or puts them in place
// of all that it has.
func (f *file) ageEdit(stanzas []stanza, instead bool) (edit, error) {
	if err := f.ageEditable(); err != nil {
		return edit{}, err
	}
	at := f.at.age
	if !instead {
		at.start = at.end
	}
	switch {
	case f.format == formatDotenv && instead:
		return edit{at: at, text: dotenvAge(stanzas, 0)}, nil
	case f.format == formatDotenv:
		return edit{at: at, text: dotenvAge(stanzas, len(f.meta.age))}, nil
	case instead:
		indent := indentOf(f.raw[at.start:at.end])
		return edit{at: at, text: yamlAge(stanzas, indent, f.at.ageDash, f.at.ageKeys, f.eol)}, nil
	default:
		return edit{at: at, text: yamlAgeItems(stanzas, f.at.ageDash, f.at.ageKeys, f.eol)}, nil
	}
}

func (f *file) ageEditable() error {
	switch {
	case f.meta.groups > 0:
		return errors.New("the recipients stand in key_groups, which coffer does not write; use `sops updatekeys`")
	case f.at.age.isZero():
		return errors.New("the age recipients of the file are not written in lines; run `sops updatekeys` on it once")
	}
	return nil
}

// addRecipients returns the file with the same data key wrapped for more.
func addRecipients(f *file, key []byte, recipients []string) (*file, error) {
	stanzas, err := wrapAll(recipients, key)
	if err != nil {
		return nil, err
	}
	e, err := f.ageEdit(stanzas, false)
	if err != nil {
		return nil, err
	}
	return decode(f.format, splice(f.raw, f.eol, []edit{e}))
}

// changeKey returns the file under a new data key that only recipients get:
// whoever was left out may still know the old one.
func changeKey(f *file, o opened, key []byte, recipients []string, random io.Reader) (*file, error) {
	if n := len(f.meta.foreign); n > 0 {
		return nil, fmt.Errorf("removing a recipient needs a new data key, and coffer cannot wrap it for %s; remove the recipient with `sops rotate -i --rm-age RECIPIENT`", f.meta.foreign[0].recipient)
	}
	stanzas, err := wrapAll(recipients, key)
	if err != nil {
		return nil, err
	}
	raw, err := rekey(f, o, key, random)
	if err != nil {
		return nil, err
	}
	next, err := decode(f.format, raw)
	if err != nil {
		return nil, err
	}
	e, err := next.ageEdit(stanzas, true)
	if err != nil {
		return nil, err
	}
	return decode(f.format, splice(next.raw, next.eol, []edit{e}))
}

// finish makes the MAC of an edited file valid at time now and proves the
// result: it is read back, decrypted, and must hold exactly what is wanted.
func finish(edited *file, key []byte, now time.Time, random io.Reader, want contents, unread int) (*file, error) {
	if edited.rigid != nil {
		return nil, edited.rigid
	}
	o, err := edited.decrypt(key)
	if err != nil {
		return nil, err
	}
	modified := now.UTC().Format(time.RFC3339)
	mac, err := sealMAC(random, key, o.mac, modified)
	if err != nil {
		return nil, err
	}
	quoted := modified
	if edited.format == formatYAML {
		quoted = strconv.Quote(modified)
	}
	done, err := decode(edited.format, splice(edited.raw, edited.eol, []edit{
		{at: edited.at.lastModified, text: quoted}, {at: edited.at.mac, text: mac},
	}))
	if err != nil {
		return nil, err
	}
	return done, prove(done, key, want, unread)
}

func prove(f *file, key []byte, want contents, unread int) error {
	o, err := f.decrypt(key)
	if err == nil {
		err = f.verify(key, o)
	}
	switch {
	case err != nil:
		return err
	case !f.contents(o).equal(want):
		return errors.New("its values would not be the ones that were meant")
	case o.unread > unread:
		return errors.New("a comment would move where its ciphertext does not open")
	}
	return nil
}
