package fingerprint

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers/secret"
)

var where = addr.Location{Provider: "sops:files", Kind: "secret", Path: "dev/shop/db"}

func newKey(t *testing.T) Key {
	t.Helper()
	k, err := NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The layout is fixed: state files hold fingerprints for years. This is
// computed here by hand, from nothing but the description.
func TestSumLayout(t *testing.T) {
	raw := bytes.Repeat([]byte{7}, 32)
	k, err := NewKey(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var message []byte
	for _, part := range []string{"coffer-fp1 value", "sops:files", "secret", "dev/shop/db", "password", "tr0ub4dor"} {
		message = binary.BigEndian.AppendUint64(message, uint64(len(part)))
		message = append(message, part...)
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write(message)
	idMAC := hmac.New(sha256.New, raw)
	idMAC.Write(append(binary.BigEndian.AppendUint64(nil, 17), "coffer-fp1 key id"...))
	id := hex.EncodeToString(idMAC.Sum(nil)[:8])

	want := id + ":" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	got, err := k.Sum(where, "password", secret.String("tr0ub4dor"))
	if err != nil || got != want {
		t.Errorf("Sum = %q, %v; want %q", got, err, want)
	}
	if k.ID() != id {
		t.Errorf("ID = %q, want %q", k.ID(), id)
	}
	// And written out, so that a change of both sides is seen too.
	const golden = "ecbedad74c633ec8:xLGXup+KgccdtUi8+0e9ZYytTsX5iztPhHr95iYF0+U="
	if got != golden {
		t.Errorf("Sum = %q, want the golden %q", got, golden)
	}
}

func TestCompare(t *testing.T) {
	k, other := newKey(t), newKey(t)
	v := secret.String("value")
	recorded, err := k.Sum(where, "f", v)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Sum(where, "f", v)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := where
	elsewhere.Path = "prod/shop/db"
	for _, c := range []struct {
		name     string
		key      Key
		recorded string
		at       addr.Location
		field    string
		value    secret.Value
		want     Outcome
	}{
		{"same", k, recorded, where, "f", v, Same},
		{"other value", k, recorded, where, "f", secret.String("valuE"), Different},
		{"empty value", k, recorded, where, "f", secret.String(""), Different},
		{"other field", k, recorded, where, "g", v, Different},
		{"other place", k, recorded, elsewhere, "f", v, Different},
		{"other key", other, recorded, where, "f", v, NotComparable},
		{"made with another key", k, foreign, where, "f", v, NotComparable},
		{"no key", Key{}, recorded, where, "f", v, NotComparable},
		{"nothing recorded", k, "", where, "f", v, NotComparable},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.key.Compare(c.recorded, c.at, c.field, c.value)
			if err != nil || got != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestCompareRefusesDamage(t *testing.T) {
	k := newKey(t)
	v := secret.String("value")
	recorded, err := k.Sum(where, "", v)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{
		"x", ":", recorded[:len(recorded)-4], recorded + "=", k.ID() + ":", "zz" + recorded, recorded[1:],
		strings.Replace(recorded, ":", ":\n", 1),
	} {
		if got, err := k.Compare(damaged, where, "", v); err == nil || got != NotComparable {
			t.Errorf("%q: got %v, %v; want not comparable and an error", damaged, got, err)
		}
	}
}

func TestNoKeyNoValue(t *testing.T) {
	k := newKey(t)
	object := secret.Object(map[string]secret.Value{"a": secret.String("x")})
	if _, err := k.Sum(where, "", object); !errors.Is(err, secret.ErrShape) {
		t.Errorf("a value with fields: %v", err)
	}
	if _, err := k.Sum(where, "", secret.Value{}); err == nil {
		t.Error("an absent value has a fingerprint")
	}
	if _, err := (Key{}).Sum(where, "", secret.String("x")); err == nil {
		t.Error("a fingerprint without a key")
	}
	if !(Key{}).IsZero() || k.IsZero() {
		t.Error("IsZero")
	}
	if _, err := NewKey(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that fails: %v", err)
	}
	if _, err := NewKey(strings.NewReader("short")); err == nil {
		t.Error("a source that ends early gave a key")
	}
}

func TestParseKey(t *testing.T) {
	k := newKey(t)
	line, err := k.text()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(line), " \t" + string(line) + "\r\n\n", strings.TrimSpace(string(line))} {
		got, err := ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := k.Sum(where, "", secret.String("v"))
		b, _ := got.Sum(where, "", secret.String("v"))
		if got.ID() != k.ID() || a != b {
			t.Error("the key read back is another")
		}
	}
}

// Every change of one character is either seen or leaves the key the same: a
// key copied badly must never make values look changed.
func TestParseKeySeesEveryTypo(t *testing.T) {
	k := newKey(t)
	line, err := k.text()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(line))
	for i := range text {
		for _, c := range "AZaz09+/=:- é\x00\n\r" {
			changed := text[:i] + string(c) + text[i+1:]
			if strings.TrimSpace(changed) == text {
				continue
			}
			if _, err := ParseKey(changed); !errors.Is(err, ErrKey) {
				t.Fatalf("changed at %d to %q: %v", i, c, err)
			} else if strings.Contains(err.Error(), changed[len(prefix):]) {
				t.Fatal("the error holds the key")
			}
		}
		if _, err := ParseKey(text[:i]); !errors.Is(err, ErrKey) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// No two different sets of parts share a fingerprint: the same text, cut into
// parts at other places, is something else.
func TestSumIsUnambiguous(t *testing.T) {
	k := newKey(t)
	proptest.Check(t, func(t *rapid.T) {
		whole := rapid.StringMatching(`[ab/:\x00]{0,6}`).Draw(t, "whole")
		draw := func(label string) ([5]string, string) {
			cuts := rapid.SliceOfN(rapid.IntRange(0, len(whole)), 4, 4).Draw(t, label)
			slices.Sort(cuts)
			p := [5]string{whole[:cuts[0]], whole[cuts[0]:cuts[1]], whole[cuts[1]:cuts[2]], whole[cuts[2]:cuts[3]], whole[cuts[3]:]}
			s, err := k.Sum(addr.Location{Provider: p[0], Kind: p[1], Path: p[2]}, p[3], secret.String(p[4]))
			if err != nil {
				t.Fatal(err)
			}
			return p, s
		}
		a, sumA := draw("first")
		b, sumB := draw("second")
		if (a == b) != (sumA == sumB) {
			t.Fatalf("%q and %q: equal parts %v, equal sums %v", a, b, a == b, sumA == sumB)
		}
	})
}

// holder has the key in a field that fmt reaches without calling its methods.
type holder struct{ key Key }

func TestKeyNeverShows(t *testing.T) {
	raw := []byte("K3Y-canary-K3Y-canary-K3Y-canary")
	k, err := NewKey(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	line, err := k.text()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %[1]v", "%p"} {
		for _, v := range []any{k, &k, holder{k}, &holder{k}, []Key{k}, map[string]Key{"a": k}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("key", "key", k, "pointer", &k, "holder", holder{k}, "list", []Key{k})
	}
	for _, v := range []any{k, &k, []Key{k}, map[string]any{"k": k}} {
		if b, err := json.Marshal(v); !errors.Is(err, secret.ErrEncode) {
			t.Errorf("json wrote %s, %v", b, err)
		}
	}
	if err := gob.NewEncoder(&out).Encode(k); err == nil {
		t.Error("gob wrote a key")
	}
	if _, err := k.MarshalText(); !errors.Is(err, secret.ErrEncode) {
		t.Error("text wrote a key")
	}
	if _, err := k.MarshalBinary(); !errors.Is(err, secret.ErrEncode) {
		t.Error("binary wrote a key")
	}
	if found := leak(out.String(), raw, line); found != "" {
		t.Errorf("the output holds %q of the key", found)
	}
	if !strings.Contains(out.String(), k.ID()) || !strings.Contains(fmt.Sprint(Key{}), "none") {
		t.Error("a key should print as its id")
	}
}

// leak looks for the key, whole and in pieces of eight bytes, and returns the
// form it found, "" for none.
func leak(out string, raw, line []byte) string {
	for i := 0; i+8 <= len(raw); i++ {
		piece := raw[i : i+8]
		for _, form := range []string{string(piece), hex.EncodeToString(piece), strings.ToUpper(hex.EncodeToString(piece)), strings.Trim(fmt.Sprint(piece), "[]")} {
			if strings.Contains(out, form) {
				return form
			}
		}
	}
	// Behind the prefix come 8 bytes of id, which is no secret.
	secretPart := strings.TrimSpace(string(line))[len(prefix)+12:]
	for i := 0; i+8 <= len(secretPart); i++ {
		if strings.Contains(out, secretPart[i:i+8]) {
			return secretPart[i : i+8]
		}
	}
	return ""
}

func TestLeakFindsLeaks(t *testing.T) {
	raw := []byte("K3Y-canary-K3Y-canary-K3Y-canary")
	k, err := NewKey(bytes.NewReader(raw))
	must(t, err)
	line, err := k.text()
	must(t, err)
	for _, out := range []string{string(raw), string(line), hex.EncodeToString(raw), fmt.Sprint(raw), fmt.Sprintf("%X", raw)} {
		if leak("before "+out+" after", raw, line) == "" {
			t.Errorf("not found: %q", out)
		}
	}
}

func TestOutcomeWords(t *testing.T) {
	for o, want := range map[Outcome]string{Same: "same", Different: "different", NotComparable: "not comparable"} {
		if o.String() != want {
			t.Errorf("%d prints %q", o, o)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
