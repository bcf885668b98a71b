package generate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/providers/secret"
)

func TestBcrypt(t *testing.T) {
	for _, value := range []string{"tr0ub4dor", strings.Repeat("x", 72), "pässwörd \n", " "} {
		for cost, p := range map[int]params{10: {"cost": 10}, 12: nil} {
			if cost == 12 && value != "tr0ub4dor" {
				continue // slow on purpose: once is enough
			}
			hash := mustDerive(t, "bcrypt", p, value)
			if !regexp.MustCompile(`^\$2a\$[0-9]{2}\$[./A-Za-z0-9]{53}$`).MatchString(hash) {
				t.Errorf("%q is no bcrypt hash", hash)
			}
			if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(value)); err != nil {
				t.Error(err)
			}
			if got, err := bcrypt.Cost([]byte(hash)); err != nil || got != cost {
				t.Errorf("cost %d, %v; want %d", got, err, cost)
			}
		}
	}
	if a, b := mustDerive(t, "bcrypt", params{"cost": 10}, "x"), mustDerive(t, "bcrypt", params{"cost": 10}, "x"); a == b {
		t.Error("two hashes have one salt")
	}
}

func TestBcryptRefuses(t *testing.T) {
	for value, want := range map[string]string{
		strings.Repeat("x", 73):  "72 bytes",
		strings.Repeat("ä", 37):  "72 bytes",
		"zero\x00byte":           "zero byte",
		"":                       "empty",
		strings.Repeat("x", 1e6): "72 bytes",
	} {
		for _, name := range []string{"bcrypt", "htpasswd"} {
			args := []string{value}
			if name == "htpasswd" {
				args = []string{"user", value}
			}
			if _, err := derive(name, nil, args...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want one that says %q", name, err, want)
			}
		}
	}
}

func TestHtpasswd(t *testing.T) {
	line := mustDerive(t, "htpasswd", params{"cost": 10}, "alice", "tr0ub4dor")
	user, hash, _ := strings.Cut(line, ":")
	if user != "alice" || !strings.HasPrefix(hash, "$2y$10$") || strings.ContainsAny(line, " \n") {
		t.Errorf("got %q", line)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(strings.Replace(hash, "$2y$", "$2a$", 1)), []byte("tr0ub4dor")); err != nil {
		t.Error(err)
	}
}

func anyBytes(t *rapid.T) string {
	return string(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value"))
}

func TestURLEncode(t *testing.T) {
	unreserved := regexp.MustCompile(`^([A-Za-z0-9._~-]|%[0-9A-F]{2})*$`)
	proptest.Check(t, func(t *rapid.T) {
		value := anyBytes(t)
		got := mustDerive(t, "urlencode", nil, value)
		if !unreserved.MatchString(got) {
			t.Fatalf("%q is not all unreserved", got)
		}
		if back, err := url.PathUnescape(got); err != nil || back != value {
			t.Fatalf("as a path: %v", err)
		}
		if back, err := url.QueryUnescape(got); err != nil || back != value {
			t.Fatalf("as a query: %v", err)
		}
		u, err := url.Parse("postgres://" + got + ":" + got + "@db.example:5432/" + "app?x=" + got)
		if err != nil {
			t.Fatal(err)
		}
		password, _ := u.User.Password()
		if u.User.Username() != value || password != value || u.Host != "db.example:5432" || u.Query().Get("x") != value {
			t.Fatal("in a URL it is another value")
		}
	})
	if got := mustDerive(t, "urlencode", nil, "aZ09-._~"); got != "aZ09-._~" {
		t.Errorf("unreserved characters were touched: %q", got)
	}
}

// The default symbols of random_password need no urlencode in user-info.
func TestDefaultPasswordFitsUserInfo(t *testing.T) {
	for seed := range uint64(50) {
		password := mustNew(t, seeded(seed), "random_password", nil)
		u, err := url.Parse("postgres://app:" + password + "@db.example:5432/app")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := u.User.Password(); got != password || u.Host != "db.example:5432" {
			t.Errorf("%q reads as %q", password, got)
		}
	}
}

func TestEncodings(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		value := anyBytes(t)
		for _, c := range []struct {
			p        params
			encoding *base64.Encoding
		}{
			{nil, base64.StdEncoding},
			{params{"url": true}, base64.URLEncoding},
			{params{"padding": false}, base64.RawStdEncoding},
			{params{"url": true, "padding": false}, base64.RawURLEncoding},
		} {
			if back, err := c.encoding.Strict().DecodeString(mustDerive(t, "base64encode", c.p, value)); err != nil || string(back) != value {
				t.Fatalf("base64encode(%v): %v", c.p, err)
			}
		}
		text := mustDerive(t, "hexencode", nil, value)
		if back, err := hex.DecodeString(text); err != nil || string(back) != value || text != strings.ToLower(text) {
			t.Fatalf("hexencode: %v", err)
		}
		sum := sha256.Sum256([]byte(value))
		if got := mustDerive(t, "sha256", nil, value); got != hex.EncodeToString(sum[:]) {
			t.Fatal("sha256")
		}
		trimmed := mustDerive(t, "trimspace", nil, " \t\r\n"+value+"\n\n")
		if trimmed != strings.TrimSpace(value) {
			t.Fatalf("trimspace gave %q of %q", trimmed, value)
		}
	})
	// FIPS 180-4, the example "abc".
	if got := mustDerive(t, "sha256", nil, "abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("sha256 of abc is %s", got)
	}
}

func TestJoin(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.StringMatching(`[a-z]{0,5}`), 1, 6).Draw(t, "parts")
		separator := rapid.SampledFrom([]string{",", "", "\n", ", "}).Draw(t, "separator")
		if got := mustDerive(t, "join", nil, append([]string{separator}, parts...)...); got != strings.Join(parts, separator) {
			t.Fatalf("got %q", got)
		}
	})
}

func TestJSONEncode(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		object := rapid.MapOfN(rapid.String(), rapid.String(), 1, 6).Draw(t, "object")
		var keys []string
		var values []secret.Value
		for k, v := range object { // in any order
			keys, values = append(keys, k), append(values, secret.String(v))
		}
		v, err := Derive("jsonencode", nil, keys, values, nil, Env{})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := json.Unmarshal([]byte(text(t, v)), &back); err != nil || len(back) != len(object) {
			t.Fatal(err)
		}
		for k, want := range object {
			if back[k] != want {
				t.Fatalf("%q is %q, want %q", k, back[k], want)
			}
		}
	})
}

func TestJSONEncodeText(t *testing.T) {
	values := []secret.Value{secret.String("<b>&'\"\\\n"), secret.String("1"), secret.String("ü")}
	v, err := Derive("jsonencode", nil, []string{"z", "a", "m"}, values, nil, Env{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, v), `{"a":"1","m":"ü","z":"<b>&'\"\\\n"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := mustDerive(t, "jsonencode", nil, `a"b`), `"a\"b"`; got != want {
		t.Errorf("one value alone: %s, want %s", got, want)
	}
	for _, keys := range [][]string{nil, {"binary"}} {
		_, err := Derive("jsonencode", nil, keys, []secret.Value{secret.String("\xff\xfe")}, nil, Env{})
		if err == nil || !strings.Contains(err.Error(), "UTF-8") || keys != nil && !strings.Contains(err.Error(), `"binary"`) {
			t.Errorf("binary: %v", err)
		}
	}
}

// Derived values are stable: what draws no salt gives the same result again.
func TestDeriveIsStable(t *testing.T) {
	key := mustNew(t, seeded(20), "self_signed_cert", params{"common_name": "a"})
	salted := []string{"bcrypt", "htpasswd"}
	for name := range derivers() {
		args := []string{key}
		if name == "join" {
			args = []string{",", "a", "b"}
		}
		if slices.Contains(salted, name) {
			continue
		}
		first, second := mustDerive(t, name, nil, args...), mustDerive(t, name, nil, args...)
		if first != second {
			t.Errorf("%s gave two results", name)
		}
	}
}
