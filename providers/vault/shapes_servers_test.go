//go:build servers

package vault

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// KV version 1 is refused, or worked on without versions and without a single
// value read.
func TestVersion1(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.Mount("1")
	ctx := t.Context()
	strict := withToken(t, server.Address, mount, server.RootToken)
	_, err := strict.Inspect(ctx, []string{"a/b"})
	wantCode(t, err, providers.Invalid, "KV version 1", "allow_value_read")
	_, err = strict.Write(ctx, providers.WriteRequest{Path: "a/b", Value: secret.String("x")})
	wantCode(t, err, providers.Invalid, "KV version 1")
	if keys, _ := server.Do("LIST", mount, server.RootToken, nil); keys != http.StatusNotFound {
		t.Error("the refused write left something")
	}

	p := newProxy(t, server.Address)
	d := open(t, Config{Address: p.URL, Mount: mount, AllowValueRead: true, Token: plainCredential(server.RootToken)})
	powers := providers.PowersOf(d)
	if c := d.Capabilities(); c.Versioned || c.ConditionalWrite || c.SoftDelete || powers.Patcher != nil || powers.Attributer != nil || powers.Predictor != nil || powers.Lister == nil {
		t.Errorf("capabilities are %+v", c)
	}
	value := secret.Object(map[string]secret.Value{"user": secret.String("u"), "pin": secret.String("\xff\x00")})
	if _, err := d.Write(ctx, providers.WriteRequest{Path: "a/b", Value: value}); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, "a/b/c", "", "below")
	_, err = d.Write(ctx, providers.WriteRequest{Path: "a/b", Value: value})
	wantCode(t, err, providers.Conflict)
	if found, err := d.Inspect(ctx, []string{"a/b", "a/x", "a/b/c"}); err != nil || len(found) != 2 || found["a/b"].Version != "1" {
		t.Errorf("inspect: %v, %v", found, err)
	}
	if found, err := d.List(ctx); err != nil || len(found) != 2 {
		t.Errorf("list: %v, %v", found, err)
	}
	for _, query := range p.queries() { // a list is a GET with a parameter
		if query == "GET " {
			t.Error("a value was read")
		}
	}
	mustWrite(t, d, "a/b", "1", "new")
	got, err := d.Read(ctx, "a/b", "")
	if err != nil || expose(got) != "new" {
		t.Errorf("read: %v", err)
	}
	if err := errors.Join(d.Delete(ctx, "a/b", "1"), d.Delete(ctx, "a/b", "1")); err != nil {
		t.Errorf("delete: %v", err)
	}
	if found, err := d.List(ctx); err != nil || len(found) != 1 {
		t.Errorf("list after delete: %v, %v", found, err)
	}
	_, err = open(t, Config{Address: p.URL, Mount: server.KV(), AllowValueRead: true, Token: plainCredential(server.RootToken)}).List(ctx)
	wantCode(t, err, providers.Invalid, "not needed")
}

func expose(v secret.Value) string {
	var s string
	_ = v.Expose(func(b []byte) error {
		s = string(b)
		return nil
	})
	return s
}

// The servers' own tools read what was written, and what they write is read.
func TestShapesOfOthers(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	d := withToken(t, server.Address, mount, server.RootToken)
	for _, v := range []secret.Value{
		secret.String("s3cret"), secret.String("\xff"),
		secret.Object(map[string]secret.Value{"user": secret.String("u"), "pin": secret.String("\xfe")}),
	} {
		path := fmt.Sprintf("w%d", len(v.Names())+len(expose(v)))
		if _, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: v}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"w6": "map[value:s3cret]", "w1": "map[value_base64:/w==]", "w2": "map[pin_base64:/g== user:u]"} {
		if got := fmt.Sprint(server.Must(http.MethodGet, mount+"/data/"+path, nil)["data"]); got != want {
			t.Errorf("%s is kept as %s, want %s", path, got, want)
		}
	}
	// A field that turns binary, and back, stays one field.
	for i, content := range []string{"\xff\xfe", "text"} {
		if _, err := d.Patch(t.Context(), providers.WriteRequest{Path: "w2", Value: secret.Object(map[string]secret.Value{"user": secret.String(content)}), Drop: []string{"pin"}, IfVersion: fmt.Sprint(i + 1)}); err != nil {
			t.Fatal(err)
		}
		got, err := d.Read(t.Context(), "w2", "")
		if user, _ := got.Field("user"); err != nil || expose(user) != content || len(got.Names()) != 1 {
			t.Errorf("patched to %q: fields %q, %v", content, got.Names(), err)
		}
	}
	server.Must(http.MethodPost, mount+"/data/o", map[string]any{"data": map[string]any{"port": 5432, "on": true, "list": []int{1, 2}, "cert_base64": "aGVsbG8="}})
	got, err := d.Read(t.Context(), "o", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"port": "5432", "on": "true", "list": "[1,2]", "cert_base64": "aGVsbG8="} {
		if field, ok := got.Field(name); !ok || expose(field) != want {
			t.Errorf("field %s is %q, want %q", name, expose(field), want)
		}
	}
}
