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

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/signin"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

func mustWrite(t *testing.T, d *Driver, path, base, value string) providers.Meta {
	t.Helper()
	m, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: secret.String(value), IfVersion: base})
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return m
}

func mustInspect(t *testing.T, d *Driver, path string) (providers.Meta, bool) {
	t.Helper()
	found, err := d.Inspect(t.Context(), []string{path})
	if err != nil {
		t.Fatalf("inspect %s: %v", path, err)
	}
	m, ok := found[path]
	return m, ok
}

func wantCode(t *testing.T, err error, code providers.Code, words ...string) {
	t.Helper()
	var partial *providers.PartialError
	if errors.As(err, &partial) {
		for _, one := range partial.Paths {
			err = one
		}
	}
	if err == nil || providers.CodeOf(err) != code {
		t.Errorf("error is %v (%v), want %v", err, providers.CodeOf(err), code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// A plan of a thousand secrets is three requests; without a scan each is one,
// and the answers are the same.
func TestRequestsOfAPlan(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{Storage: vaulttest.File, NoAudit: true})
	mount := server.KV()
	p := newProxy(t, server.Address)
	d := withToken(t, p.URL, mount, server.RootToken)
	var paths []string
	for i := range 1000 {
		paths = append(paths, fmt.Sprintf("shop/app-%d/production/secret-%d", i%20, i))
	}
	if err := parallel(t.Context(), paths, func(ctx context.Context, path string) error {
		_, err := d.Write(ctx, providers.WriteRequest{Path: path, Value: secret.String("v"), Attributes: providers.Attributes{
			Mark: providers.Mark{Project: "shop", Address: "a1"}, Labels: map[string]string{"team": "core"},
		}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), paths[0], "1"); err != nil {
		t.Fatal(err)
	}
	look := func(d *Driver) map[string]providers.Meta {
		t.Helper()
		_, err1 := d.Identity(t.Context())
		_, err2 := d.Incarnation(t.Context())
		inspected, err3 := d.Inspect(t.Context(), append([]string{"shop/app-0/production/missing"}, paths...))
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		return inspected
	}
	p.take()
	d = withToken(t, p.URL, mount, server.RootToken)
	scanned := look(d)
	if got, want := p.take(), []string{"GET sys/health", "GET sys/internal/ui/mounts/" + mount, "GET " + mount + "/detailed-metadata/shop"}; !slices.Equal(got, want) {
		t.Errorf("a plan asked %d times: %.300q, want %q", len(got), got, want)
	}
	scanList, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	p.on(noScan)
	d = withToken(t, p.URL, mount, server.RootToken)
	p.take()
	single := look(d)
	if n := len(p.take()); n != 3+1001 {
		t.Errorf("a plan without a scan asked %d times, want one for each secret and 3", n)
	}
	walkList, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := p.count("detailed-metadata"); n > 0 {
		t.Errorf("the scan was tried %d times more", n)
	}
	if len(scanned) != 1000 || !reflect.DeepEqual(scanned, single) {
		t.Errorf("scan (%d) and reads (%d) differ", len(scanned), len(single))
	}
	if !reflect.DeepEqual(scanList, walkList) || !reflect.DeepEqual(scanned, scanList) {
		t.Errorf("lists by scan (%d) and walk (%d) differ", len(scanList), len(walkList))
	}
	if m := scanned[paths[0]]; !m.IsDeleted() || m.Attributes.Labels["team"] != "core" || m.Attributes.Mark.Project != "shop" {
		t.Errorf("the deleted secret is told as %+v", m)
	}
}

// What people meet: each says what it is, and what to do.
func TestErrorsPeopleMeet(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	server.Policy("narrow", fmt.Sprintf("path %q { capabilities = [\"read\"] }", mount+"/metadata/mine/*"))
	root := withToken(t, server.Address, mount, server.RootToken)
	mustWrite(t, root, "shop/db", "", "x")
	token := server.TokenWith("narrow")
	narrow := withToken(t, server.Address, mount, token)
	ctx := t.Context()

	_, err := narrow.Inspect(ctx, []string{"shop/db"})
	wantCode(t, err, providers.Denied, "shop/db", `path "`+mount+`/metadata/shop/db" { capabilities = ["read"] }`)
	_, err = narrow.Read(ctx, "shop/db", "")
	wantCode(t, err, providers.Denied, `path "`+mount+`/data/shop/db" { capabilities = ["read"] }`)
	_, err = narrow.Write(ctx, providers.WriteRequest{Path: "shop/db", Value: secret.String("y"), IfVersion: "1"})
	wantCode(t, err, providers.Denied, `["create", "update"]`)
	_, err = narrow.List(ctx)
	wantCode(t, err, providers.Denied, `path "`+mount+`/metadata/" { capabilities = ["list"] }`)

	nowhere := withToken(t, server.Address, "nowhere", server.RootToken)
	if made, err := nowhere.Incarnation(ctx); made != "" || err != nil {
		t.Errorf("a missing mount is told as %q, %v", made, err)
	}
	if found, err := nowhere.Inspect(ctx, []string{"a/b", "a/c"}); len(found) > 0 || err != nil {
		t.Errorf("below a missing mount is %v, %v", found, err)
	}
	_, err = nowhere.Write(ctx, providers.WriteRequest{Path: "a/b", Value: secret.String("y")})
	wantCode(t, err, providers.NotFound, `no mount "nowhere"`, "secrets enable")
	_, err = withToken(t, server.Address, "nowhere", token).Incarnation(ctx)
	wantCode(t, err, providers.Denied, "does not exist, or the token has no permission")
	_, err = root.Read(ctx, "shop/other", "")
	wantCode(t, err, providers.NotFound, "no such secret")
	_, err = open(t, Config{Address: server.Address, Mount: mount, Namespace: "none", Token: plainCredential(server.RootToken)}).Inspect(ctx, []string{"a/b"})
	wantCode(t, err, providers.Invalid, `no namespace "none"`)

	server.Must(http.MethodPost, "auth/token/revoke", map[string]any{"token": token})
	_, err = narrow.Inspect(ctx, []string{"mine/a"})
	wantCode(t, err, providers.Denied, "does not take the token", "expired", "login")

	server.Seal()
	_, err = root.Identity(ctx)
	wantCode(t, err, providers.Unavailable, "sealed", "operator unseal")
	_, err = root.Write(ctx, providers.WriteRequest{Path: "shop/db", Value: secret.String("z"), IfVersion: "1"})
	wantCode(t, err, providers.Unavailable, "sealed", "operator unseal")
}

// A token that a sign-in method made is replaced when it dies.
func TestTokenDiesInTheMiddle(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	server.Policy("all", policyFor(mount, ""))
	d := open(t, Config{Address: server.Address, Mount: mount, Auth: []signin.Block{appRole(t, server, "ci", "all")}})
	mustWrite(t, d, "a", "", "x")
	server.Must(http.MethodPost, "auth/token/revoke-accessor", map[string]any{"accessor": newestAccessor(t, server)})
	mustWrite(t, d, "a", "1", "y")
	if m, _ := mustInspect(t, d, "a"); m.Version != "2" {
		t.Errorf("version is %s, want 2", m.Version)
	}
}

// newestAccessor is that of the only token that is not root's.
func newestAccessor(t *testing.T, server *vaulttest.Server) string {
	t.Helper()
	keys := server.Must("LIST", "auth/token/accessors", nil)["keys"].([]any)
	for _, key := range keys {
		data := server.Must(http.MethodPost, "auth/token/lookup-accessor", map[string]any{"accessor": key})
		if data["path"] == "auth/approle/login" {
			return key.(string)
		}
	}
	t.Fatal("no token of approle")
	return ""
}

// Two programs and one hand on one secret: check-and-set decides.
func TestRaces(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	one, two := withToken(t, server.Address, mount, server.RootToken), withToken(t, server.Address, mount, server.RootToken)
	base := ""
	for round := range 10 {
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, d := range []*Driver{one, two} {
			wg.Go(func() {
				_, errs[i] = d.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("w"), IfVersion: base, Attributes: providers.Attributes{Mark: providers.Mark{Project: fmt.Sprint(i)}}})
			})
		}
		wg.Go(func() {
			server.Do(http.MethodPost, mount+"/data/a", server.RootToken, map[string]any{"data": map[string]string{"value": "hand"}, "options": map[string]any{"cas": round}})
		})
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				wantCode(t, err, providers.Conflict)
			}
		}
		m, _ := mustInspect(t, one, "a")
		if want := one.NextVersion(base); m.Version != want {
			t.Fatalf("round %d: version is %s, want %s: one winner", round, m.Version, want)
		}
		base = m.Version
	}
	// A hand that writes between the check and the delete keeps its version.
	p := newProxy(t, server.Address)
	d := withToken(t, p.URL, mount, server.RootToken)
	p.on(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/delete/") {
			server.Must(http.MethodPost, mount+"/data/a", map[string]any{"data": map[string]string{"value": "late"}})
		}
		return false
	})
	wantCode(t, d.Delete(t.Context(), "a", base), providers.Conflict, "it lives")
	p.on(nil)
	if m, ok := mustInspect(t, d, "a"); !ok || m.IsDeleted() || m.Version != d.NextVersion(base) {
		t.Errorf("the late version is told as %+v", m)
	}
}

func TestDeleteUndeletePurge(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	d := withToken(t, server.Address, mount, server.RootToken)
	ctx := t.Context()
	mustWrite(t, d, "a", "", "one")
	mustWrite(t, d, "a", "1", "two")
	mustWrite(t, d, "a", "2", "three")
	server.Must(http.MethodPost, mount+"/destroy/a", map[string]any{"versions": []int{2}})
	if err := d.Delete(ctx, "a", "3"); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2", "3", ""} {
		_, err := d.Read(ctx, "a", version)
		wantCode(t, err, providers.NotFound, map[string]string{"2": "destroyed"}[version])
	}
	_, err := d.Write(ctx, providers.WriteRequest{Path: "a", Value: secret.String("four")})
	wantCode(t, err, providers.Conflict, "coffer restore", "coffer purge")
	back, err := d.Undelete(ctx, "a")
	if err != nil || back.Version != "3" || back.IsDeleted() {
		t.Fatalf("undelete: %+v, %v", back, err)
	}
	for version, want := range map[string]providers.Code{"1": providers.Unknown, "2": providers.NotFound, "3": providers.Unknown} {
		if _, err := d.Read(ctx, "a", version); providers.CodeOf(err) != want {
			t.Errorf("version %s after undelete: %v", version, err)
		}
	}
	wantCode(t, d.Purge(ctx, "a", "3"), providers.Conflict, "delete it first")
	if err := d.Delete(ctx, "a", "3"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, d.Purge(ctx, "a", "2"), providers.Conflict)
	if err := d.Purge(ctx, "a", "3"); err != nil {
		t.Fatal(err)
	}
	if status, _ := server.Do(http.MethodGet, mount+"/metadata/a", server.RootToken, nil); status != http.StatusNotFound {
		t.Errorf("metadata after purge: status %d", status)
	}
	if err := d.Purge(ctx, "a", "3"); err != nil {
		t.Errorf("purge again: %v", err)
	}

	// A current version that is destroyed is a secret that does not exist, and
	// its number counts on.
	mustWrite(t, d, "b", "", "one")
	server.Must(http.MethodPost, mount+"/destroy/b", map[string]any{"versions": []int{1}})
	if m, ok := mustInspect(t, d, "b"); ok {
		t.Errorf("the destroyed secret is told as %+v", m)
	}
	if _, err := d.Undelete(ctx, "b"); providers.CodeOf(err) != providers.NotFound {
		t.Errorf("undelete of the destroyed one: %v", err)
	}
	if m := mustWrite(t, d, "b", "", "again"); m.Version != "2" {
		t.Errorf("version over a destroyed one is %s, want 2", m.Version)
	}
}

// A mount that was deleted and made again is another one of the same name.
func TestIncarnation(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	d := withToken(t, server.Address, mount, server.RootToken)
	id, err1 := d.Identity(t.Context())
	first, err2 := d.Incarnation(t.Context())
	server.Must(http.MethodDelete, "sys/mounts/"+mount, nil)
	none, err3 := d.Incarnation(t.Context())
	server.Must(http.MethodPost, "sys/mounts/"+mount, map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	second, err4 := d.Incarnation(t.Context())
	again, err5 := d.Identity(t.Context())
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	if first == "" || none != "" || second == "" || first == second || id != again {
		t.Errorf("incarnations are %q, %q, %q; identities %q, %q", first, none, second, id, again)
	}
	if _, err := withToken(t, server.Address, "sys", server.RootToken).Incarnation(t.Context()); providers.CodeOf(err) != providers.Invalid {
		t.Errorf("a mount that is no KV: %v", err)
	}
}

// Versions that somebody's delete of the current one left readable are told, and
// taken by a delete.
func TestOlderVersionsRemain(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	mount := s.KV()
	d := withToken(t, s.Address, mount, s.RootToken)
	p := providers.New("vault", d, providers.Options{})
	for i, base := range []string{"", "1"} {
		if _, err := p.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("v"), IfVersion: base, OpID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	s.Must(http.MethodDelete, mount+"/data/a", nil)
	found, err := p.Inspect(t.Context(), []string{"a"})
	if err != nil || !found["a"].IsDeleted() || !found["a"].Remains {
		t.Fatalf("%+v, %v: version 1 can still be read", found, err)
	}
	if err := p.Delete(t.Context(), "a", "2"); err != nil {
		t.Fatal(err)
	}
	if found, err = p.Probe(t.Context(), []string{"a"}); err != nil || !found["a"].IsDeleted() || found["a"].Remains {
		t.Errorf("%+v, %v", found, err)
	}
	if status, _ := s.Do(http.MethodGet, mount+"/data/a?version=1", s.RootToken, nil); status != http.StatusNotFound {
		t.Errorf("version 1 is still read: status %d", status)
	}
}
