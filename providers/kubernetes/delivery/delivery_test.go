package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/providers"
)

func remote(key, property string) providers.DeliveryPart {
	return providers.DeliveryPart{Remote: &providers.Remote{Key: key, Property: property}}
}

func vaultProvider(a providers.StoreAccess) (map[string]any, error) {
	return map[string]any{"vault": map[string]any{
		"server": "https://vault.example", "path": "secret", "version": "v2",
		"auth": map[string]any{"kubernetes": map[string]any{
			"mountPath": "kubernetes", "role": a.Namespace + "-" + a.ServiceAccount,
			"serviceAccountRef": map[string]any{"name": a.ServiceAccount},
		}},
	}}, nil
}

// Programs depend on these texts only by what they make, but people read them in
// plans and in repositories.
func TestManifests(t *testing.T) {
	full := providers.Delivery{
		Items: []providers.DeliveryItem{
			{Name: "API_KEY", Parts: []providers.DeliveryPart{remote("shop/prod/api_key", "value")}},
			{Name: "DSN", Parts: []providers.DeliveryPart{
				{Text: "postgres://"},
				remote("shop/prod/db", "user"),
				{Text: ":"},
				{Func: "urlencode", Args: []providers.DeliveryPart{remote("shop/prod/db", "password")}},
				{Text: "@db/{shop}"},
			}},
		},
		Form:    providers.Form{Type: "Opaque", Annotations: map[string]string{"example.com/team": "payments", "odd": "{{ .db_password }}", "reloader": ""}, Immutable: true},
		Labels:  map[string]string{"team": "payments"},
		Refresh: 90 * time.Minute, DeletionPolicy: "Retain", CreationPolicy: "Owner",
		Store: providers.DeliveryStore{Provider: vaultProvider, Access: providers.StoreAccess{Method: "kubernetes"}},
	}
	plain := full
	plain.Items, plain.Form, plain.Labels, plain.Refresh, plain.DeletionPolicy, plain.CreationPolicy = full.Items[:1], providers.Form{}, nil, 0, "", ""
	existing := plain
	existing.Store = providers.DeliveryStore{Kind: "ClusterSecretStore", Name: "company-vault", Existing: true}
	empty := plain
	empty.Items = append([]providers.DeliveryItem{{Name: "EMPTY", Parts: []providers.DeliveryPart{{Text: ""}}}}, full.Items[:1]...)
	empty.Store.Kind = "ClusterSecretStore"
	settings := Settings{ControllerNamespace: "external-secrets", ControllerServiceAccount: "external-secrets"}
	cluster := At{Namespace: "shop", Name: "shop-env"}
	for _, c := range []struct {
		name string
		d    providers.Delivery
		at   At
	}{
		{"full", full, cluster},
		{"plain", plain, cluster},
		{"existing", existing, cluster},
		{"cluster", empty, cluster},
		{"file", plain, At{File: "deploy/prod.yaml", Namespace: "shop", Name: "shop-env"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			specs, err := Compile(c.d, c.at, settings)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, s := range specs {
				b.WriteString("# " + s.Ref.Kind + " " + s.Ref.Path)
				for _, need := range s.Needs {
					b.WriteString("\n#   after " + need.Kind + " " + need.Path)
				}
				b.WriteString("\n" + s.Document)
			}
			golden := filepath.Join("testdata", c.name+".yaml")
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func TestUnknownFunction(t *testing.T) {
	d := providers.Delivery{Items: []providers.DeliveryItem{
		{Name: "H", Parts: []providers.DeliveryPart{{Func: "bcrypt", Args: []providers.DeliveryPart{remote("a", "b")}}}},
	}}
	_, err := Compile(d, At{Namespace: "shop", Name: "x"}, Settings{})
	if err == nil || !strings.Contains(err.Error(), "has no function bcrypt") {
		t.Fatalf("%v", err)
	}
}
