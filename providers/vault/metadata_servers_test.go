//go:build servers

package vault

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// What others keep in custom metadata stays, and settings are mended.
func TestMetadataOfOthersAndSettings(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	for name, hook := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"patch": nil,
		"no patch": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				http.Error(w, `{"errors":["unsupported operation"]}`, http.StatusMethodNotAllowed)
			}
			return r.Method == http.MethodPatch
		},
	} {
		t.Run(name, func(t *testing.T) {
			mount := server.KV()
			p := newProxy(t, server.Address)
			p.on(hook)
			plain := withToken(t, p.URL, mount, server.RootToken)
			d := open(t, Config{Address: p.URL, Mount: mount, MaxVersions: 3, DeleteVersionAfter: "48h", Token: plainCredential(server.RootToken)})
			mustWrite(t, plain, "a", "", "x")
			server.Must(http.MethodPost, mount+"/metadata/a", map[string]any{"custom_metadata": map[string]string{"owner": "bob", "team": "other"}})
			m, _ := mustInspect(t, d, "a")
			if len(m.Attributes.Labels) > 0 || !slices.Equal(m.Outdated, []string{"max_versions", "delete_version_after"}) {
				t.Errorf("a stranger's secret is told as %+v", m)
			}
			want := providers.Attributes{
				Mark: providers.Mark{Project: "shop", Address: "a1", Protected: true}, Description: "of the shop", Labels: map[string]string{"tier": "1", "zone": "x"},
			}
			if _, err := d.SetAttributes(t.Context(), "a", "1", want); err != nil {
				t.Fatal(err)
			}
			m, _ = mustInspect(t, d, "a")
			if !reflect.DeepEqual(m.Attributes, want) || m.Outdated != nil || m.Version != "1" {
				t.Errorf("after set attributes: %+v", m)
			}
			want = providers.Attributes{Mark: providers.Mark{Project: "shop", Address: "a2"}, Labels: map[string]string{"tier": "2"}}
			if _, err := d.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("y"), IfVersion: "1", Attributes: want}); err != nil {
				t.Fatal(err)
			}
			custom := server.Must(http.MethodGet, mount+"/metadata/a", nil)["custom_metadata"]
			if got, want := fmt.Sprint(custom), "map[coffer_address:a2 coffer_labels:tier coffer_project:shop owner:bob team:other tier:2]"; got != want {
				t.Errorf("custom metadata is %s, want %s", got, want)
			}
			// A new secret's first version is kept for as long as the others.
			mustWrite(t, d, "b", "", "x")
			versions := server.Must(http.MethodGet, mount+"/metadata/b", nil)["versions"].(map[string]any)
			if versions["1"].(map[string]any)["deletion_time"] == "" {
				t.Error("the first version has no end")
			}
			if m, ok := mustInspect(t, d, "b"); !ok || m.IsDeleted() || m.Outdated != nil {
				t.Errorf("a version that will be deleted is told as %+v", m)
			}
		})
	}
	d := withToken(t, server.Address, server.KV(), server.RootToken)
	for name, a := range map[string]providers.Attributes{
		"reserved": {Labels: map[string]string{"coffer_project": "x"}}, "comma": {Labels: map[string]string{"a,b": "x"}},
		"empty": {Labels: map[string]string{"a": ""}}, "long": {Description: strings.Repeat("x", 513)}, "line": {Description: "a\nb"},
	} {
		_, err := d.Write(t.Context(), providers.WriteRequest{Path: name, Value: secret.String("x"), Attributes: a})
		wantCode(t, err, providers.Invalid)
		if _, ok := mustInspect(t, d, name); ok {
			t.Errorf("%s: the value was written before its attributes were refused", name)
		}
	}
}

func TestMetadataCheckAndSetRequired(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{})
	mount := server.KV()
	server.Must(http.MethodPost, mount+"/config", map[string]any{"cas_required": true, "metadata_cas_required": true})
	d := withToken(t, server.Address, mount, server.RootToken)
	a := providers.Attributes{Mark: providers.Mark{Project: "shop"}}
	m, err := d.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("x"), Attributes: a})
	if err != nil || m.Attributes.Mark != a.Mark {
		t.Fatalf("write: %+v, %v", m, err)
	}
	if m, _ := mustInspect(t, d, "a"); m.Attributes.Mark != a.Mark {
		t.Errorf("the mark is %+v", m.Attributes.Mark)
	}
}
