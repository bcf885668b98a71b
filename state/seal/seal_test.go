package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/cofferhq/coffer/state/remote"
)

// clear is a key that hides nothing: what is tested is the envelope.
type clear struct{ method, id string }

func (k clear) Method() string { return k.method }
func (k clear) ID() string     { return k.id }

func (k clear) Wrap(_ context.Context, key []byte) (string, error) {
	return base64.StdEncoding.EncodeToString(key), nil
}

func (k clear) Unwrap(_ context.Context, wrapped string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(wrapped)
}

var bound = remote.Bound{Kind: remote.StateBlob, Project: "shop", Lineage: "l", Serial: 7}

func TestSealAndOpen(t *testing.T) {
	s := &Sealer{Key: clear{"a", "1"}, Random: rand.Reader}
	for _, plain := range []string{"", "x", strings.Repeat("entry\n", 1<<18)} {
		one, err := s.Seal(t.Context(), bound, []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		two, err := s.Seal(t.Context(), bound, []byte(plain))
		if err != nil || bytes.Equal(one, two) {
			t.Errorf("sealed twice alike, %v", err)
		}
		if plain != "" && bytes.Contains(one, []byte("entry")) {
			t.Error("the text shows")
		}
		o, err := s.Open(t.Context(), remote.StateBlob, one)
		if err != nil || string(o.Plain) != plain || o.Bound != bound || o.Stale {
			t.Errorf("%d bytes came back as %d, bound to %+v, %v", len(plain), len(o.Plain), o.Bound, err)
		}
	}
}

// No byte of a sealed blob can be changed, and none taken away or added.
func TestWhatIsSealedCannotBeChanged(t *testing.T) {
	s := &Sealer{Key: clear{"a", "1"}, Random: rand.Reader}
	sealed, err := s.Seal(t.Context(), bound, []byte("the state"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(data []byte) error {
		_, err := s.Open(t.Context(), remote.StateBlob, data)
		return err
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if open(changed) == nil {
			t.Errorf("byte %d was changed unnoticed: %q", i, changed)
		}
		if open(sealed[:i]) == nil {
			t.Errorf("cut after %d bytes unnoticed", i)
		}
	}
	if open(append(bytes.Clone(sealed), 0)) == nil {
		t.Error("a byte was added unnoticed")
	}
	if _, err := s.Open(t.Context(), remote.JournalBlob, sealed); err == nil {
		t.Error("a state was taken for a journal")
	}
}

func TestKeysAndFallbacks(t *testing.T) {
	a, b := clear{"a", "1"}, clear{"b", "1"}
	sealed, err := (&Sealer{Key: a, Random: rand.Reader}).Seal(t.Context(), bound, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s     Sealer
		data  []byte
		want  any
		stale bool
	}{
		"the key":                      {Sealer{Key: a}, sealed, nil, false},
		"the key of before":            {Sealer{Key: b, Fallbacks: []Key{a}}, sealed, nil, true},
		"the key for other recipients": {Sealer{Key: clear{"a", "2"}}, sealed, nil, true},
		"another key":                  {Sealer{Key: b}, sealed, new(*NoKeyError), false},
		"plain text":                   {Sealer{Key: a}, []byte("{}"), new(*PlainError), false},
		"plain text of before":         {Sealer{Key: a, Plain: true}, []byte("{}"), nil, true},
		"written plain, plain":         {Sealer{Plain: true}, []byte("{}"), nil, false},
		"written plain, key of before": {Sealer{Plain: true, Fallbacks: []Key{a}}, sealed, nil, true},
	} {
		o, err := c.s.Open(t.Context(), remote.StateBlob, c.data)
		if o.Stale != c.stale {
			t.Errorf("%s: stale %v", name, o.Stale)
		}
		if c.want == nil && err != nil || c.want != nil && !errors.As(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	out, err := (&Sealer{Plain: true}).Seal(t.Context(), bound, []byte("{}"))
	if err != nil || string(out) != "{}" {
		t.Errorf("without a key: %q, %v", out, err)
	}
}

func TestAge(t *testing.T) {
	one, two, other := identity(t), identity(t), identity(t)
	k, err := NewAge([]string{one.Recipient().String(), two.Recipient().String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := k.Wrap(t.Context(), bytes.Repeat([]byte{7}, keySize))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		one.String():                         "",
		other.String() + "\n" + two.String(): "",
		other.String():                       "none of the age identities",
		"AGE-SECRET-KEY-1":                   "malformed",
	} {
		k.identities = func() (string, error) { return text, nil }
		key, err := k.Unwrap(t.Context(), wrapped)
		switch {
		case want == "" && (err != nil || len(key) != keySize || key[0] != 7):
			t.Errorf("unwrapped %d bytes, %v", len(key), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("want %q: %v", want, err)
		case err != nil && strings.Contains(err.Error(), "AGE-SECRET-KEY-1"+"Q"):
			t.Error("the error shows an identity")
		}
	}
	if _, err := NewAge([]string{"age1nonsense"}, nil); err == nil {
		t.Error("nonsense was taken for a recipient")
	}
}

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func FuzzOpen(f *testing.F) {
	s := &Sealer{Key: clear{"a", "1"}, Random: rand.Reader}
	sealed, err := s.Seal(context.Background(), bound, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte(remote.SealedPrefix))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := s.Open(t.Context(), remote.StateBlob, data)
		if err == nil && string(o.Plain) != "x" {
			t.Errorf("%q opened as %q", data, o.Plain)
		}
	})
}
