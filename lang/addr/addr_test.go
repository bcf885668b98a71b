package addr

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Address{
		`app.checkout`:                                     {App: "checkout"},
		`app.checkout.secret.db`:                           {App: "checkout", Kind: "secret", Name: "db"},
		`app.checkout.secret.db["production"]`:             {App: "checkout", Kind: "secret", Name: "db", Environment: "production"},
		`app.checkout.secret.db["production"]@aws.eu`:      {App: "checkout", Kind: "secret", Name: "db", Environment: "production", Store: "aws.eu"},
		`app.checkout.secret.db["production"]@vault`:       {App: "checkout", Kind: "secret", Name: "db", Environment: "production", Store: "vault"},
		`app.checkout.secret.db@vault`:                     {App: "checkout", Kind: "secret", Name: "db", Store: "vault"},
		`app.checkout.env_file.web["dev"]`:                 {App: "checkout", Kind: "env_file", Name: "web", Environment: "dev"},
		`app.checkout.policy.team["dev"]`:                  {App: "checkout", Kind: "policy", Name: "team", Environment: "dev"},
		`app.shop["eu"]`:                                   {App: "shop", AppKey: "eu"},
		`app.shop["eu"].secret.db["production"]`:           {App: "shop", AppKey: "eu", Kind: "secret", Name: "db", Environment: "production"},
		`app.shop.secret.db["eu"]["production"]`:           {App: "shop", Kind: "secret", Name: "db", Key: "eu", Environment: "production"},
		`app.shop.secret.db["a \"b\" \\ ]"]["production"]`: {App: "shop", Kind: "secret", Name: "db", Key: `a "b" \ ]`, Environment: "production"},
		`policy_document.ops`:                              {Kind: "policy_document", Name: "ops"},
		`role.approle.checkout`:                            {Kind: "role", Type: "approle", Name: "checkout"},
		`mount.kv.team-secret`:                             {Kind: "mount", Type: "kv", Name: "team-secret"},
		`role.app.provider`:                                {Kind: "role", Type: "app", Name: "provider"},
		`provider.sops.recipients["prod/shop.yaml"]`:       {Provider: "sops", Kind: "recipients", Key: "prod/shop.yaml"},
		`provider.aws.eu.policy["p"]`:                      {Provider: "aws.eu", Kind: "policy", Key: "p"},
		`provider.aws.eu`:                                  {Provider: "aws.eu"},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%s prints as %s", text, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{
		"", "app", "app.", "app.Checkout", "app.checkout.", "app.checkout.secret", "app.checkout.secret.", "app.checkout.secret.db[", `app.checkout.secret.db[""]`,
		`app.checkout.secret.db["a"`, `app.checkout.secret.db["a"]x`, `app.checkout.secret.db["a"]["b"]["c"]`, `app.checkout.secret.db[0]`,
		"app.checkout.secret.db@", "app.checkout.secret.db@vault.", "app.checkout.secret.db@a.b.c", "app checkout", "app..checkout", `app.a["b"]["c"]`,
		"provider", "provider.", "provider.a.b.c", `provider.sops["x"]`, "app." + strings.Repeat("a", 64), "app.a\x00", "secret",
		"role.", "role.approle.", "role..checkout", "role.approle.checkout.more", "role.Approle.checkout", `role["approle"].checkout`, `role.approle["x"].y`,
		`mount.kv.secret["a"]["b"]["c"]`,
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is no address, but reads as %+v", text, got)
		} else if !strings.HasPrefix(err.Error(), "address ") {
			t.Errorf("%q: the error does not name the thing: %v", text, err)
		}
	}
}

func TestContains(t *testing.T) {
	all := []string{
		`app.a`, `app.a.secret.x`, `app.a.secret.x["dev"]`, `app.a.secret.x["dev"]@b`, `app.a.secret.y["dev"]`, `app.a.env_file.x["dev"]`,
		`app.b.secret.x["dev"]`, `app.a.secret.x["prod"]`, `app.a["eu"].secret.x["dev"]`,
		`role.approle.a`, `role.jwt.a`, `mount.approle.a`, `policy_document.a`,
	}
	for _, c := range []struct {
		outer string
		inner []int
	}{
		{`app.a`, []int{0, 1, 2, 3, 4, 5, 7, 8}},
		{`app.a.secret.x`, []int{1, 2, 3, 7, 8}},
		{`app.a.secret.x["dev"]`, []int{2, 3, 8}},
		{`app.a.secret.x["dev"]@b`, []int{3}},
		{`app.a["eu"]`, []int{8}},
		{`role.approle.a`, []int{9}},
		{`role.jwt.a`, []int{10}},
		{`mount.approle.a`, []int{11}},
		{`policy_document.a`, []int{12}},
	} {
		outer := mustParse(t, c.outer)
		for i, text := range all {
			want := false
			for _, j := range c.inner {
				want = want || i == j
			}
			if got := outer.Contains(mustParse(t, text)); got != want {
				t.Errorf("%s contains %s: got %t", c.outer, text, got)
			}
		}
	}
	if !(Address{}).Contains(mustParse(t, all[3])) {
		t.Error("the zero address contains everything")
	}
}

func mustParse(t *testing.T, s string) Address {
	t.Helper()
	a, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCompare(t *testing.T) {
	order := []string{
		`mount.kv.a`, `policy_document.ops`, `role.approle.a`, `role.approle.b`, `role.jwt.a`, `app.a`, `app.a.env_file.x["dev"]`, `app.a.secret.x["dev"]`, `app.a.secret.x["dev"]@b`, `app.a.secret.x["prod"]`,
		`app.a.secret.y["dev"]`, `app.b.secret.a["dev"]`, `provider.sops.recipients["x"]`,
	}
	for i, a := range order {
		for j, b := range order {
			got := mustParse(t, a).Compare(mustParse(t, b))
			if (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s compared with %s: %d", a, b, got)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	a := Secret("checkout", "production", "db").At("aws.eu")
	data, err := json.Marshal(map[string]Address{"address": a})
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]Address
	if err := json.Unmarshal(data, &back); err != nil || back["address"] != a {
		t.Errorf("%s reads back as %v, %v", data, back, err)
	}
	if err := json.Unmarshal([]byte(`{"address": "no address"}`), &back); err == nil {
		t.Error("want an error for what is no address")
	}
}

func TestDerivedAddresses(t *testing.T) {
	a := Secret("a", "dev", "x")
	for got, want := range map[string]string{
		a.At("b.c").String():                                        `app.a.secret.x["dev"]@b.c`,
		a.At("b").Primary().String():                                `app.a.secret.x["dev"]`,
		a.In("").String():                                           `app.a.secret.x`,
		App("a").String():                                           `app.a`,
		ProviderObject("sops", "recipients", "f").String():          `provider.sops.recipients["f"]`,
		Beside(KindPolicyDocument, "", "ops").String():              `policy_document.ops`,
		Beside(KindRole, "approle", "a").String():                   `role.approle.a`,
		Location{Provider: "p", Kind: "secret", Path: "x"}.String(): `p secret x`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !(Address{}).IsZero() || a.IsZero() {
		t.Error("IsZero is wrong")
	}
	first, second := Location{"a", "b", "c"}, Location{"a", "b", "d"}
	if first.Compare(second) >= 0 || second.Compare(first) <= 0 || first.Compare(first) != 0 {
		t.Error("locations are ordered by provider, kind and path")
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a-b_c9": true, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
		"": false, "A": false, "9a": false, "_a": false, "-a": false, "a.b": false, "a b": false, "ä": false, "a\n": false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) is %t", name, !want)
		}
	}
}

// Every address that the program makes prints as one that reads back the same,
// and no two print alike.
func TestRoundTrip(t *testing.T) {
	names := []string{"a", "app", "provider", "role", "x-1_y"}
	keys := []string{"", "dev", `a "b" \ ]`, "ä.[@"}
	stores := []string{"", "vault", "aws.eu"}
	var all []Address
	for i, n := range names {
		other := names[(i+1)%len(names)]
		for _, kind := range []string{KindPolicyDocument, KindRole, KindMount} {
			all = append(all, Beside(kind, "", n), Beside(kind, other, n), Beside(kind, n, n))
		}
		all = append(all, App(n), Address{Provider: n}, Address{Provider: n + "." + other})
		for _, key := range keys {
			if key != "" {
				all = append(all, ProviderObject(n, KindRole, key), Address{App: n, AppKey: key})
			}
			for _, env := range keys {
				if key != "" && env == "" {
					continue // one key is the environment
				}
				for _, store := range stores {
					all = append(
						all,
						Address{App: n, Kind: KindSecret, Name: other, Key: key, Environment: env, Store: store},
						Address{Kind: KindMount, Type: "kv", Name: n, Key: key, Environment: env, Store: store},
					)
				}
			}
		}
	}
	seen := map[string]Address{}
	for _, a := range all {
		text := a.String()
		if back, err := Parse(text); err != nil || back != a {
			t.Errorf("%+v prints as %s and reads back as %+v, %v", a, text, back, err)
		}
		if other, taken := seen[text]; taken && other != a {
			t.Errorf("%+v and %+v both print as %s", a, other, text)
		}
		if !a.Contains(a) || a.Compare(a) != 0 {
			t.Errorf("%s is not itself", text)
		}
		seen[text] = a
	}
	for text, a := range seen {
		for other, b := range seen {
			if (a.Compare(b) == 0) != (text == other) || a.Compare(b) != -b.Compare(a) {
				t.Fatalf("%s compared with %s: %d and %d", text, other, a.Compare(b), b.Compare(a))
			}
		}
	}
}

// FuzzParse: what reads as an address prints as one that reads the same. A key
// that is not UTF-8 does not: configuration and JSON hold none.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`app.a.secret.x["dev"]@b.c`, `app.a["k"].secret.x["k2"]["dev"]`, `provider.sops.recipients["a/b"]`, `x.y["\"\\"]`, `role.approle.checkout`, `mount.kv.a["k"]["e"]@v.w`, `policy_document.ops@vault`, `role.a.b.c`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil || !utf8.ValidString(s) {
			return
		}
		b, err := Parse(a.String())
		if err != nil || a != b {
			t.Errorf("%q reads as %+v, prints as %q and reads back as %+v, %v", s, a, a.String(), b, err)
		}
	})
}

// A note may be about everything; its address prints as nothing and comes back.
func TestZeroAddressAsText(t *testing.T) {
	text, err := Address{}.MarshalText()
	if err != nil || len(text) != 0 {
		t.Fatalf("%q, %v", text, err)
	}
	got := App("shop")
	if err := got.UnmarshalText(text); err != nil || !got.IsZero() {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Parse(""); err == nil {
		t.Error("Parse takes an empty address from a person")
	}
}
