//go:build servers

package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// objectCase is one object through its life: made, changed by a hand, changed
// back, changed by us, removed.
type objectCase struct {
	ref           providers.ObjectRef
	first, second string // documents
	// by hand: what changes it, and the document that is then seen.
	method, path string
	body         map[string]any
	seen         string
}

func objectCases() []objectCase {
	return []objectCase{
		{
			providers.ObjectRef{Kind: KindPolicy, Path: "p"},
			"path \"a\" {\n  capabilities = [\"read\"]\n}\n", "path \"b\" {\n  capabilities = [\"read\"]\n}\n",
			http.MethodPost, "sys/policies/acl/p",
			map[string]any{"policy": `path "*" { policy = "sudo" }`},
			"path \"*\" { policy = \"sudo\" }\n",
		},
		{
			providers.ObjectRef{Kind: KindRole, Path: "approle:approle/r"},
			"type = \"approle\"\nsecret_id_ttl = \"1h\"\n", "type = \"approle\"\ntoken_num_uses = 3\n",
			http.MethodPost, "auth/approle/role/r",
			map[string]any{"bind_secret_id": false, "token_bound_cidrs": "10.0.0.0/8"},
			"type = \"approle\"\nbind_secret_id = false\nsecret_id_ttl = \"1h\"\ntoken_bound_cidrs = [\"10.0.0.0/8\"]\n",
		},
		{
			providers.ObjectRef{Kind: KindRole, Path: "jwt:team/jwt/r"},
			"type = \"jwt\"\nbound_claims = {\"a\":[\"b\"]}\nuser_claim = \"sub\"\n", "type = \"jwt\"\nbound_audiences = [\"x\",\"y\"]\nuser_claim = \"sub\"\n",
			http.MethodPost, "auth/team/jwt/role/r",
			map[string]any{"role_type": "jwt", "user_claim": "email", "bound_subject": "s"},
			"type = \"jwt\"\nbound_claims = {\"a\":[\"b\"]}\nbound_subject = \"s\"\nuser_claim = \"email\"\n",
		},
		{
			providers.ObjectRef{Kind: KindRole, Path: "kubernetes:kubernetes/r"},
			"type = \"kubernetes\"\nbound_service_account_names = [\"a\"]\nbound_service_account_namespaces = [\"n\"]\n",
			"type = \"kubernetes\"\nalias_name_source = \"serviceaccount_name\"\nbound_service_account_names = [\"a\"]\nbound_service_account_namespaces = [\"n\"]\n",
			http.MethodPost, "auth/kubernetes/role/r",
			map[string]any{"bound_service_account_names": "*"},
			"type = \"kubernetes\"\nbound_service_account_names = [\"*\"]\nbound_service_account_namespaces = [\"n\"]\n",
		},
		{
			providers.ObjectRef{Kind: KindMount, Path: "kv:made"},
			"type = \"kv\"\ndescription = \"ours\"\nmax_versions = 4\n", "type = \"kv\"\ncas_required = true\ndelete_version_after = \"768h\"\n",
			http.MethodPost, "made/config",
			map[string]any{"max_versions": 1},
			"type = \"kv\"\ndescription = \"ours\"\nmax_versions = 1\n",
		},
	}
}

func TestObjects(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s) // the auth methods
	for _, in := range []*vaulttest.Server{s, s.In("team")} {
		if in != s {
			for path, typ := range map[string]string{"approle": "approle", "team/jwt": "jwt", "kubernetes": "kubernetes"} {
				in.Must(http.MethodPost, "sys/auth/"+path, map[string]any{"type": typ})
			}
		}
		d := open(t, Config{Address: s.Address, Namespace: in.Namespace, Mount: "secret", Token: plainCredential(s.RootToken)})
		for _, c := range objectCases() {
			t.Run(in.Namespace+"/"+c.ref.Path, func(t *testing.T) { c.run(t, in, d) })
		}
	}
}

func (c objectCase) run(t *testing.T, s *vaulttest.Server, d *Driver) {
	mark := providers.Attributes{Mark: providers.Mark{Project: "test", Address: "a1", Protected: true}}
	put := func(document, ifVersion string) (providers.Object, error) {
		return d.WriteObject(t.Context(), providers.ObjectRequest{Ref: c.ref, Document: document, IfVersion: ifVersion, Attributes: mark})
	}
	see := func(document string) providers.Object {
		t.Helper()
		found, err := d.InspectObjects(t.Context(), []providers.ObjectRef{c.ref})
		o, exists := found[c.ref]
		if err != nil || exists != (document != "") || o.Like(document) != document {
			t.Fatalf("seen %v %q, want %q (%v)", exists, o.Document, document, err)
		}
		return o
	}
	refused := func(what, document, ifVersion string) {
		t.Helper()
		if _, err := put(document, ifVersion); providers.CodeOf(err) != providers.Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	see("")
	if _, err := put("", ""); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	refused("changing what is not there", c.first, "x")
	made, err := put(c.first, "")
	if err != nil {
		t.Fatal(err)
	}
	if live := see(c.first); !reflect.DeepEqual(live, made) || live.NoMark != (c.ref.Kind != KindPolicy) || !live.NoMark && live.Attributes.Mark != mark.Mark {
		t.Errorf("made %+v, seen %+v", made, live)
	}
	refused("making it twice", c.first, "")
	s.Must(c.method, c.path, c.body)
	byHand := see(c.seen)
	if byHand.Version == made.Version || byHand.Attributes.Mark != (providers.Mark{}) {
		t.Errorf("changed by hand: %+v", byHand)
	}
	refused("over a hand's change", c.second, made.Version)
	refused("removing a hand's change", "", made.Version)
	back, err := put(c.first, byHand.Version)
	if err != nil || back.Like(c.first) != c.first {
		t.Fatalf("back to %+v, %v", back, err)
	}
	second, err := put(c.second, back.Version)
	if err != nil {
		t.Fatal(err)
	}
	see(c.second)
	for _, line := range second.Beyond(c.seen, c.first+c.second) { // neither of ours says a word of it
		if !strings.Contains(second.Document, "\n"+line+"\n") {
			t.Errorf("what a hand set is gone: %s, of\n%s", line, second.Document)
		}
	}
	_, err = put("", second.Version)
	if c.ref.Kind == KindMount {
		if providers.CodeOf(err) != providers.Unsupported {
			t.Errorf("a mount is removed: %v", err)
		}
		see(c.second)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	see("")
}

// Of several who write a policy at once, one wins and the others are told.
func TestPolicyRace(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	d := withToken(t, s.Address, "secret", s.RootToken)
	ref := providers.ObjectRef{Kind: KindPolicy, Path: "raced"}
	version := ""
	for round := range 3 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []providers.Object
		for i := range 8 {
			wg.Go(func() {
				o, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, IfVersion: version, Document: fmt.Sprintf("path \"a/%d/%d\" {}\n", round, i)})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, o)
				} else if providers.CodeOf(err) != providers.Conflict {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		live, err := d.InspectObjects(t.Context(), []providers.ObjectRef{ref})
		if err != nil || len(won) != 1 || won[0].Version != live[ref].Version {
			t.Fatalf("round %d: %d won, live %+v, %v", round, len(won), live[ref], err)
		}
		version = live[ref].Version
	}
	// Somebody writes between our look and our write, and then between our
	// write and our second look.
	proxied := newProxy(t, s.Address)
	theirs := func() { s.Policy("raced", `path "theirs" {}`) }
	for name, after := range map[string]bool{"before": false, "after": true} {
		live, err := d.InspectObjects(t.Context(), []providers.ObjectRef{ref})
		if err != nil {
			t.Fatal(err)
		}
		proxied.on(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				return false
			}
			if after {
				proxied.inner.ServeHTTP(w, r)
			}
			theirs()
			return after
		})
		_, err = withToken(t, proxied.URL, "secret", s.RootToken).WriteObject(t.Context(), providers.ObjectRequest{
			Ref: ref, IfVersion: live[ref].Version, Document: "path \"ours\" {}\n",
		})
		text := s.Must(http.MethodGet, policyPath("raced"), nil)["policy"]
		if providers.CodeOf(err) != providers.Conflict || text != `path "theirs" {}` {
			t.Errorf("%s: %v, and now there is %v", name, err, text)
		}
		s.Policy("raced", `path "again" {}`)
	}
}

// What is attached to a role, and what Coffer does not know of it, stays as it
// is when one policy, or another argument, changes.
func TestBindings(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s)
	d := withToken(t, s.Address, "secret", s.RootToken)
	d.locks = &providers.Locks{}
	s.Must(http.MethodPost, "auth/team/jwt/role/r", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_subject": "s", "token_policies": "theirs", "bound_claims_type": "glob", "callback_mode": "direct", "token_policies_template_claims": true, "token_ttl": 60, "claim_mappings": map[string]string{"a": "b"},
	})
	s.Must(http.MethodPost, "auth/kubernetes/role/r", map[string]any{
		"bound_service_account_names": "a", "bound_service_account_namespaces": "b", "policies": "theirs", "alias_name_source": "serviceaccount_name", "ttl": 60,
		"bound_service_account_namespace_selector": `{"matchLabels":{"team":"x"}}`,
	})
	s.Must(http.MethodPost, "auth/approle/role/r", map[string]any{"token_policies": "theirs", "secret_id_ttl": 60})
	for _, h := range []string{"jwt:team/jwt/r", "kubernetes:kubernetes/r", "approle:approle/r", "entity:alice", "group:ops"} {
		hold, err := parseHolder(h)
		if err != nil {
			t.Fatal(err)
		}
		if !hold.isRole() {
			s.Must(http.MethodPost, hold.api(), map[string]any{"policies": []string{"theirs"}, "metadata": map[string]string{"team": "x"}})
		}
		before := s.Must(http.MethodGet, hold.api(), nil)
		var wg sync.WaitGroup
		for i := range 6 { // at once: none is lost
			wg.Go(func() {
				ref := hold.binding(fmt.Sprintf("ours-%d", i))
				if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, Document: attached}); err != nil {
					t.Errorf("%s: %v", ref.Path, err)
				}
			})
		}
		wg.Wait()
		live, err := d.readHolder(t.Context(), hold)
		want := []string{"ours-0", "ours-1", "ours-2", "ours-3", "ours-4", "ours-5", "theirs"}
		if err != nil || !slices.Equal(live.policies(), want) {
			t.Errorf("%s: %v %v", h, live.policies(), err)
		}
		for i := range 6 {
			ref := hold.binding(fmt.Sprintf("ours-%d", i))
			if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, IfVersion: versionOf(KindBinding, attached)}); err != nil {
				t.Errorf("taking away %s: %v", ref.Path, err)
			}
		}
		after := s.Must(http.MethodGet, hold.api(), nil)
		// What a hand takes away is seen.
		lost := []providers.ObjectRef{hold.binding("lost")}
		if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: lost[0], Document: attached}); err != nil {
			t.Errorf("%s: %v", lost[0].Path, err)
		}
		if found, err := d.InspectObjects(t.Context(), lost); err != nil || found[lost[0]].Document != attached {
			t.Errorf("%s: seen %+v, %v", lost[0].Path, found, err)
		}
		back := map[string]any{"token_policies": []string{"theirs"}}
		for name, v := range before {
			if hold.typ != typeAppRole && v != nil && name != "id" && name != "aliases" && name != "alias" {
				back[name] = v
			}
		}
		s.Must(http.MethodPost, hold.api(), back)
		if found, err := d.InspectObjects(t.Context(), lost); err != nil || len(found) != 0 {
			t.Errorf("%s: taken away by hand, seen %+v, %v", lost[0].Path, found, err)
		}
		for _, moving := range []string{"last_update_time", "modify_index", "policies", "ttl"} { // the last two: names of before token_…
			if !hold.isRole() && moving == "policies" {
				continue
			}
			delete(before, moving)
			delete(after, moving)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s is not as before: %s", h, diff)
		}
	}
	for _, missing := range []string{"jwt:team/jwt/none p", "kubernetes:kubernetes/none p", "entity:none p", "group:none p", "approle:none/none p", "jwt:none/none p"} {
		_, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: providers.ObjectRef{Kind: KindBinding, Path: missing}, Document: attached})
		var e *providers.Error
		if !errors.As(err, &e) || e.Code != providers.NotFound || e.Hint == "" {
			t.Errorf("%s: %v", missing, err)
		}
	}
	// Many bindings of one holder are one request.
	proxied := newProxy(t, s.Address)
	var refs []providers.ObjectRef
	for i := range 30 {
		refs = append(refs, holder{typeAppRole, "approle", "r"}.binding(fmt.Sprintf("p%d", i)))
	}
	refs = append(refs, holder{typeAppRole, "approle", "r"}.ref())
	found, err := withToken(t, proxied.URL, "secret", s.RootToken).InspectObjects(t.Context(), refs)
	if err != nil || len(found) != 1 || proxied.count("auth/approle") != 1 {
		t.Errorf("%d found with %d requests, %v", len(found), proxied.count("auth/approle"), err)
	}
}

// A mount is for life: neither its kind changes, nor is it removed, not even where
// a list shows nothing in it: a policy can filter that.
func TestMounts(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	d := withToken(t, s.Address, "made", s.RootToken)
	full, empty, one := s.KV(), s.KV(), s.Mount("1")
	s.Must(http.MethodPost, "sys/mounts/transit", map[string]any{"type": "transit"})
	s.Must(http.MethodPost, full+"/data/a", map[string]any{"data": map[string]any{"value": "v"}})
	s.Must(http.MethodPost, one+"/a", map[string]any{"value": "v"})
	standard := settings{}.document(typeKV)
	for _, c := range []struct {
		at, document string
		code         providers.Code
		want         string
	}{
		{full, "", providers.Unsupported, "is not removed here"},
		{empty, "", providers.Unsupported, "is not removed here"},
		{one, "", providers.Unsupported, "is not removed here"},
		{one, standard, providers.Invalid, "is KV version 1"},
		{"transit", standard, providers.Invalid, `is of type "transit"`},
	} {
		ref := providers.ObjectRef{Kind: KindMount, Path: "kv:" + c.at}
		found, err := d.InspectObjects(t.Context(), []providers.ObjectRef{ref})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, Document: c.document, IfVersion: found[ref].Version})
		if providers.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.at, err, c.want)
		}
	}
	// Vault says of a new mount for a moment that it is upgraded.
	proxied, upgrading := newProxy(t, s.Address), 3
	proxied.on(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/config") || upgrading == 0 {
			return false
		}
		upgrading--
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"errors":["Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will resume service shortly."]}`)
		return true
	})
	write(t, withToken(t, proxied.URL, "made", s.RootToken), providers.ObjectSpec{
		Ref: providers.ObjectRef{Kind: KindMount, Path: "kv:team/slow"}, Document: "type = \"kv\"\nmax_versions = 2\n",
	})
	// The provider's own mount can be made and used in one run.
	ref := providers.ObjectRef{Kind: KindMount, Path: "kv:made"}
	if made, err := d.Incarnation(t.Context()); made != "" || err != nil {
		t.Errorf("incarnation %q, %v", made, err)
	}
	write(t, d, providers.ObjectSpec{Ref: ref, Document: standard})
	req := providers.WriteRequest{Path: "a", Value: secret.String("v")}
	if _, err := d.Write(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	found, err := d.InspectObjects(t.Context(), []providers.ObjectRef{ref})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := found[ref].ByHand, "with `vault secrets disable made`"; got != want {
		t.Errorf("by hand %q, want %q", got, want)
	}
	made := found[ref]
	if unusual := made.Unusual("type = \"kv\"\n"); len(unusual) > 0 {
		t.Errorf("not standard in a new mount: %q", unusual)
	}
	version := made.Version
	s.Must(http.MethodDelete, "made/metadata/a", nil)
	if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, IfVersion: version}); providers.CodeOf(err) != providers.Unsupported {
		t.Errorf("removed with nothing in it: %v", err)
	}
	if made, err := d.Incarnation(t.Context()); made == "" || err != nil {
		t.Errorf("incarnation %q, %v", made, err)
	}
}

func TestUndeclaredAccess(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	mount := s.KV()
	d := withToken(t, s.Address, mount, s.RootToken)
	managed := []providers.Managed{{Path: "shop/b"}, {Path: "shop/a"}}
	for name, text := range map[string]string{
		"ours":      "path \"kv/data/shop/a\" { capabilities = [\"read\"] }",
		"all":       "# admins\npath \"*\" { policy = \"sudo\" }",
		"one":       "path \"kv/data/+/a\" { capabilities = [\"update\", \"read\"] }",
		"templated": "path \"kv/data/{{identity.entity.name}}/*\" { capabilities = [\"read\"] }",
		"list":      "path \"kv/*\" { capabilities = [\"list\", \"update\"] }\npath \"kv/metadata/*\" { capabilities = [\"read\"] }",
		"denied":    "path \"kv/*\" { capabilities = [\"read\"] }\npath \"kv/data/shop/*\" { capabilities = [\"deny\"] }",
		"elsewhere": "path \"kv/data/other/*\" { capabilities = [\"read\"] }",
	} {
		s.Policy(name, strings.ReplaceAll(text, "kv/", mount+"/"))
	}
	found, err := d.UndeclaredAccess(t.Context(), managed, []providers.ObjectRef{{Kind: KindPolicy, Path: "ours"}})
	if err != nil {
		t.Fatal(err)
	}
	policy := func(name string) providers.ObjectRef { return providers.ObjectRef{Kind: KindPolicy, Path: name} }
	want := []providers.Undeclared{ // nothing is above the root namespace
		{Ref: policy("all"), Reads: []string{"shop/a", "shop/b"}, Text: `line 2: path "*" (create, read, update, delete, list, sudo)`},
		{Ref: policy("one"), Reads: []string{"shop/a"}, Text: `line 1: path "` + mount + `/data/+/a" (read, update)`},
		{Ref: policy("templated"), Reads: []string{"shop/a", "shop/b"}, Text: `line 1: path "` + mount + `/data/{{identity.entity.name}}/*" (read)`},
	}
	for i := range want {
		want[i].Text += whereMeant
	}
	if diff := cmp.Diff(providers.AccessAudit{Undeclared: want}, found); diff != "" {
		t.Error(diff)
	}
	s.Policy("nothing", `path "x" {}`)
	_, err = withToken(t, s.Address, mount, s.TokenWith("nothing")).UndeclaredAccess(t.Context(), managed, nil)
	if providers.CodeOf(err) != providers.Denied || !strings.Contains(err.Error(), `path "sys/policies/acl" { capabilities = ["list"] }`) {
		t.Errorf("without permission to list: %v", err)
	}
	s.Policy("names", `path "sys/policies/acl" { capabilities = ["list"] } path "sys/policies/acl/all" { capabilities = ["read"] }`)
	found, err = withToken(t, s.Address, mount, s.TokenWith("names")).UndeclaredAccess(t.Context(), managed, nil)
	if providers.CodeOf(err) != providers.Denied || len(found.Undeclared) != 1 {
		t.Errorf("with permission for one: %v, %v", found, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.UndeclaredAccess(ended, managed, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := d.InspectObjects(ended, []providers.ObjectRef{policy("one")}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A role that somebody attached something to stays.
func TestRolesInUse(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s)
	d := withToken(t, s.Address, "secret", s.RootToken)
	for _, c := range objectCases() {
		if c.ref.Kind != KindRole {
			continue
		}
		write(t, d, providers.ObjectSpec{Ref: c.ref, Document: c.first})
		h, err := holderOf(c.ref)
		if err != nil {
			t.Fatal(err)
		}
		theirs := h.binding("theirs")
		if err := writeObject(t.Context(), d, theirs, attached, ""); err != nil {
			t.Fatal(err)
		}
		found, err := d.InspectObjects(t.Context(), []providers.ObjectRef{c.ref})
		if err != nil {
			t.Fatal(err)
		}
		version := found[c.ref].Version
		err = writeObject(t.Context(), d, c.ref, "", version)
		var e *providers.Error
		if !errors.As(err, &e) || e.Code != providers.Conflict || !strings.Contains(err.Error(), "has the policies theirs") || !strings.Contains(e.Hint, "vault write "+h.api()) {
			t.Errorf("%s: %v", c.ref.Path, err)
		}
		if err := writeObject(t.Context(), d, theirs, "", versionOf(KindBinding, attached)); err != nil {
			t.Fatal(err)
		}
		if err := writeObject(t.Context(), d, c.ref, "", version); err != nil {
			t.Errorf("%s when it is empty: %v", c.ref.Path, err)
		}
	}
	found, err := d.InspectObjects(t.Context(), []providers.ObjectRef{{Kind: KindMount, Path: "kv:cubbyhole"}})
	for _, o := range found {
		if !o.Kept {
			t.Error("a mount is not kept")
		}
	}
	if err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}

// A mount that was made and not configured is what its declaration says that it
// can be, and a second run finishes it.
func TestHalfMadeMount(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	proxied := newProxy(t, s.Address)
	d := withToken(t, proxied.URL, "half", s.RootToken)
	specs, err := d.CompileDeclaration(providers.Declaration{Kind: "mount", Type: "kv", Name: "half", Args: map[string]any{"description": "ours", "max_versions": 3.0}})
	if err != nil {
		t.Fatal(err)
	}
	proxied.on(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "half/config") && r.Method != http.MethodGet {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	if err := writeObject(t.Context(), d, specs[0].Ref, specs[0].Document, ""); providers.CodeOf(err) != providers.Ambiguous {
		t.Errorf("cut off: %v", err)
	}
	proxied.on(nil)
	found, err := d.InspectObjects(t.Context(), refsOf(specs))
	half := found[specs[0].Ref]
	if err != nil || !slices.Equal(specs[0].Begins, []string{half.Like(specs[0].Document)}) {
		t.Fatalf("half made it is %q, not one of %q (%v)", half.Document, specs[0].Begins, err)
	}
	if err := writeObject(t.Context(), d, specs[0].Ref, specs[0].Document, half.Version); err != nil {
		t.Error(err)
	}
}

// What does not carry our mark is neither deleted nor taken off.
func TestForeignPoliciesStay(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s)
	d := withToken(t, s.Address, "secret", s.RootToken)
	text := "path \"a\" {}\n"
	for name, mark := range map[string]providers.Mark{
		"ours": {Project: "test", Address: "a1"}, "another-address": {Project: "test", Address: "a2"}, "another-project": {Project: "other", Address: "a1"}, "unmarked": {},
	} {
		marked, err := withMark(mark, text)
		if err != nil {
			t.Fatal(err)
		}
		s.Policy(name, marked)
		s.Policy(name+"-2", marked)
	}
	s.Must(http.MethodPost, "auth/team/jwt/role/r", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_subject": "s"})
	mark := providers.Attributes{Mark: providers.Mark{Project: "test", Address: "a1"}}
	for _, c := range []struct {
		policy             string
		delete, detachable bool
	}{
		{"ours", true, true},
		{"another-address", false, true}, // another block of the same project has it
		{"another-project", false, false},
		{"unmarked", false, false},
		{"gone", true, true},
	} {
		_, err := d.WriteObject(t.Context(), providers.ObjectRequest{
			Ref: providers.ObjectRef{Kind: KindPolicy, Path: c.policy}, IfVersion: versionOf(KindPolicy, text), Attributes: mark,
		})
		if c.delete != (err == nil) || !c.delete && providers.CodeOf(err) != providers.Conflict {
			t.Errorf("deleting %s: %v", c.policy, err)
		}
		policy := c.policy
		if policy == "ours" { // another one, since that one is gone
			policy = "ours-2"
		}
		for _, h := range []holder{{typeAppRole, "approle", "r"}, {typeEntity, "", "alice"}, {typeJWT, "team/jwt", "r"}} {
			if err := writeObject(t.Context(), d, h.binding("keep"), attached, ""); err != nil && providers.CodeOf(err) != providers.Conflict {
				t.Fatal(err)
			}
			if err := writeObject(t.Context(), d, h.binding(policy), attached, ""); err != nil {
				t.Fatal(err)
			}
			_, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: h.binding(policy), IfVersion: versionOf(KindBinding, attached), Attributes: mark})
			live, readErr := d.readHolder(t.Context(), h)
			if readErr != nil || slices.Contains(live.policies(), policy) == c.detachable || !slices.Contains(live.policies(), "keep") {
				t.Errorf("taking %s off %s leaves %v, %v", policy, h, live.policies(), readErr)
			}
			var e *providers.Error
			if c.detachable != (err == nil) || err != nil && (!errors.As(err, &e) || e.Code != providers.Conflict || !strings.Contains(e.Hint, "vault write "+h.api()+" "+h.argument()+"=")) {
				t.Errorf("taking %s off %s: %v", policy, h, err)
			}
		}
	}
}

// Bindings of one holder are not lost between two provider blocks, nor between
// two spellings, and an entity keeps its spelling.
func TestBindingsOfTwoProviders(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s)
	proxied := newProxy(t, s.Address) // another address of the same server
	locks := &providers.Locks{}
	one, two := withToken(t, s.Address, "secret", s.RootToken), withToken(t, proxied.URL, "other", s.RootToken)
	one.locks, two.locks = locks, locks
	s.Must(http.MethodPost, "identity/entity", map[string]any{"name": "Mixed"})
	s.Must(http.MethodPost, "identity/group", map[string]any{"name": "Mixed"})
	for _, h := range []string{"approle:approle/mixed", "entity:mixed", "group:mixed"} {
		hold, err := parseHolder(h)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var want []string
		for i := range 16 {
			want = append(want, fmt.Sprintf("p-%02d", i))
			d, spelling := one, h
			if i%2 == 1 {
				d, spelling = two, strings.Replace(h, "mixed", "MIXED", 1)
			}
			wg.Go(func() {
				ref := providers.ObjectRef{Kind: KindBinding, Path: fmt.Sprintf("%s p-%02d", spelling, i)}
				if err := writeObject(t.Context(), d, ref, attached, ""); err != nil {
					t.Errorf("%s: %v", ref.Path, err)
				}
			})
		}
		wg.Wait()
		live, err := one.readHolder(t.Context(), hold)
		if err != nil || !slices.Equal(live.policies(), want) {
			t.Errorf("%s: %v, %v", h, live.policies(), err)
		}
		if !hold.isRole() && live.data["name"] != "Mixed" {
			t.Errorf("%s is called %v now", h, live.data["name"])
		}
	}
	release, err := locks.Lock(t.Context(), one.scope+" approle:approle/mixed")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err = writeObject(ended, two, providers.ObjectRef{Kind: KindBinding, Path: "approle:approle/mixed q"}, attached, "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
}

// A policy of ours that somebody else got as well is told, whoever that is and
// however it is called.
func TestUndeclaredHolders(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s)
	mount := s.KV()
	proxied := newProxy(t, s.Address)
	d := withToken(t, proxied.URL, mount, s.RootToken)
	managed := []providers.Managed{{Path: "shop/b"}, {Path: "shop/a"}}
	s.Policy("ours", `path "`+mount+`/data/shop/a" { capabilities = ["read"] }`)
	s.Policy("ours-too", `path "`+mount+`/data/shop/*" { capabilities = ["read"] }`)
	s.Policy("nothing", `path "x" {}`)
	s.Must(http.MethodPost, "sys/auth/sso", map[string]any{"type": "oidc"})
	for path, body := range map[string]map[string]any{
		"auth/approle/role/Web":       {"token_policies": "ours,ours-too"},
		"auth/approle/role/intruder":  {"token_policies": "ours,nothing"},
		"auth/approle/role/bystander": {"token_policies": "nothing"},
		"auth/team/jwt/role/ci":       {"role_type": "jwt", "user_claim": "sub", "bound_subject": "s", "token_policies": "ours"},
		"auth/sso/role/staff":         {"user_claim": "sub", "allowed_redirect_uris": "http://localhost", "token_policies": "ours"},
		"auth/kubernetes/role/old":    {"bound_service_account_names": "a", "bound_service_account_namespaces": "b", "policies": "ours"},
		"auth/userpass/users/alice":   {"token_policies": "ours"},
		"identity/entity":             {"name": "../a/b?", "policies": "ours"},
		"identity/group":              {"name": "Ops-2", "policies": "ours"},
	} {
		s.Must(http.MethodPost, path, body)
	}
	declared := []providers.ObjectRef{
		{Kind: KindPolicy, Path: "ours"},
		{Kind: KindPolicy, Path: "ours-too"},
		{Kind: KindPolicy, Path: "nothing"},
		{Kind: KindBinding, Path: "approle:approle/web ours"},
		{Kind: KindBinding, Path: "jwt:team/jwt/ci ours"},
	}
	lines := func(token string) []string {
		t.Helper()
		reader := withToken(t, proxied.URL, mount, token)
		found, err := reader.UndeclaredAccess(t.Context(), managed, declared)
		if err != nil {
			t.Error(err)
		}
		var out []string
		for _, u := range found.Undeclared {
			if u.Ref.Kind != KindBinding {
				t.Errorf("unexpected %+v", u)
			}
			out = append(out, u.Ref.Path+": "+u.Text+" "+strings.Join(u.Reads, ","))
		}
		return out
	}
	all := []string{
		"approle:approle/intruder ours: policy ours is attached to approle/intruder shop/a",
		"approle:approle/web ours-too: policy ours-too is attached to approle/web shop/a,shop/b",
		"entity:../a/b? ours: policy ours is attached to entity/../a/b? shop/a",
		"group:ops-2 ours: policy ours is attached to group/ops-2 shop/a",
		"jwt:sso/staff ours: policy ours is attached to sso/staff shop/a",
		"kubernetes:kubernetes/old ours: policy ours is attached to kubernetes/old shop/a",
		"userpass:userpass/alice ours: policy ours is attached to userpass/alice shop/a",
	}
	if diff := cmp.Diff(all, lines(s.RootToken)); diff != "" {
		t.Error(diff)
	}
	// What a token may not look at is passed over, and without the list of auth
	// methods those of the configuration are looked at.
	policies := `path "sys/policies/acl" { capabilities = ["list"] } path "sys/policies/acl/*" { capabilities = ["read"] } `
	s.Policy("blind", policies)
	s.Policy("some", policies+`path "auth/+/role" { capabilities = ["list"] } path "auth/+/role/+" { capabilities = ["read"] } path "auth/approle/role/web" { capabilities = ["deny"] }`)
	if diff := cmp.Diff([]string(nil), lines(s.TokenWith("blind"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(all[:1], lines(s.TokenWith("some"))); diff != "" {
		t.Error(diff)
	}
	// Without a policy of ours nobody is asked; what fails is an error beside
	// what was found.
	proxied.take()
	if _, err := d.UndeclaredAccess(t.Context(), managed, declared[3:]); err != nil {
		t.Error(err)
	}
	if n := proxied.count("auth/") + proxied.count("identity/"); n != 0 {
		t.Errorf("%d requests", n)
	}
	proxied.on(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/auth/kubernetes/role/old") {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"errors":["1 error occurred"]}`)
		return true
	})
	found, err := d.UndeclaredAccess(t.Context(), managed, declared)
	if providers.CodeOf(err) != providers.Unavailable || len(found.Undeclared) != len(all)-1 {
		t.Errorf("%d found, %v", len(found.Undeclared), err)
	}
}
