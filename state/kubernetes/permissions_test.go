package kubernetes

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type rule struct {
	APIGroups     []string `yaml:"apiGroups"`
	Resources     []string `yaml:"resources"`
	ResourceNames []string `yaml:"resourceNames"`
	Verbs         []string `yaml:"verbs"`
}

func TestPermissions(t *testing.T) {
	for write, want := range map[bool][]rule{
		false: {
			{[]string{""}, []string{"secrets"}, []string{"shop", "shop.journal"}, []string{"get"}},
			{[]string{"coordination.k8s.io"}, []string{"leases"}, []string{"shop.lock"}, []string{"get"}},
			{[]string{""}, []string{"secrets"}, nil, []string{"get"}},
		},
		true: {
			{[]string{""}, []string{"secrets"}, []string{"shop", "shop.journal"}, []string{"get", "update"}},
			{[]string{"coordination.k8s.io"}, []string{"leases"}, []string{"shop.lock"}, []string{"get", "update"}},
			{[]string{""}, []string{"secrets"}, nil, []string{"create"}},
			{[]string{"coordination.k8s.io"}, []string{"leases"}, nil, []string{"create"}},
			{[]string{""}, []string{"secrets"}, nil, []string{"get", "list", "delete"}},
		},
	} {
		text := (&Config{Namespace: "team-state", Name: "shop"}).Permissions(write)
		if strings.Contains(text, "NAME") {
			t.Errorf("a name is missing:\n%s", text)
		}
		var kinds []string
		for d := yaml.NewDecoder(strings.NewReader(text)); ; {
			var o struct {
				Kind     string
				Metadata struct{ Name, Namespace string }
				Rules    []rule
			}
			err := d.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, o.Kind)
			if o.Metadata.Namespace != "team-state" || !strings.HasPrefix(o.Metadata.Name, "shop-") {
				t.Errorf("%+v", o.Metadata)
			}
			if o.Kind == "Role" && !reflect.DeepEqual(o.Rules, want) {
				t.Errorf("write %t: %+v", write, o.Rules)
			}
		}
		if !reflect.DeepEqual(kinds, []string{"Role", "RoleBinding"}) {
			t.Errorf("%q", kinds)
		}
	}
}
