package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
)

// TestCheckForm is what the API server would refuse, told before any call.
func TestCheckForm(t *testing.T) {
	form := func(typ string) providers.Form { return providers.Form{Type: typ} }
	annotation := func(name string) providers.Form {
		return providers.Form{Annotations: map[string]string{name: "x"}}
	}
	for name, test := range map[string]struct {
		kind   string
		form   providers.Form
		fields []string
		says   string // "" is taken
	}{
		"plain":               {"secret", providers.Form{}, []string{"", "a"}, ""},
		"opaque":              {"kubernetes_secret", form("Opaque"), []string{"a"}, ""},
		"tls":                 {"secret", form("kubernetes.io/tls"), []string{"tls.crt", "tls.key", "ca.crt"}, ""},
		"tls without key":     {"sealed_secret", form("kubernetes.io/tls"), []string{"tls.crt"}, "needs the key tls.key"},
		"docker":              {"secret", form("kubernetes.io/dockerconfigjson"), []string{".dockerconfigjson"}, ""},
		"docker, other key":   {"secret", form("kubernetes.io/dockerconfigjson"), []string{"config.json"}, "needs the key .dockerconfigjson"},
		"basic":               {"secret", form("kubernetes.io/basic-auth"), []string{"password"}, ""},
		"basic without":       {"secret", form("kubernetes.io/basic-auth"), []string{"user"}, "needs username or password"},
		"ssh":                 {"secret", form("kubernetes.io/ssh-auth"), []string{"ssh-privatekey"}, ""},
		"ssh, single":         {"secret", form("kubernetes.io/ssh-auth"), []string{""}, "needs the key ssh-privatekey"},
		"service account":     {"secret", form("kubernetes.io/service-account-token"), nil, "makes the values"},
		"own type":            {"secret", form("example.com/a.b/c"), nil, ""},
		"no domain":           {"secret", form("tls"), nil, "is no type"},
		"odd":                 {"secret", form("a b/c"), nil, "is no type"},
		"key":                 {"secret", providers.Form{}, []string{"a b"}, "cannot be a key"},
		"env_file":            {"env_file", providers.Form{}, nil, "keeps no env_file"},
		"scope":               {"sealed_secret", providers.Form{Scope: "cluster-wide"}, nil, ""},
		"no such scope":       {"sealed_secret", providers.Form{Scope: "wide"}, nil, "there is no scope"},
		"scope elsewhere":     {"kubernetes_secret", providers.Form{Scope: "cluster-wide"}, nil, "scope is for a sealed_secret"},
		"annotation":          {"secret", annotation("example.com/a"), nil, ""},
		"our annotation":      {"secret", annotation("coffer/address"), nil, "starts like those of Coffer"},
		"kubectl's":           {"secret", annotation("kubectl.kubernetes.io/last-applied-configuration"), nil, "kubectl's own"},
		"the controller's":    {"sealed_secret", annotation("sealedsecrets.bitnami.com/cluster-wide"), nil, "controller's own"},
		"odd annotation":      {"secret", annotation("a,b"), nil, "cannot be the name"},
		"too much annotation": {"secret", providers.Form{Annotations: map[string]string{"a": strings.Repeat("x", longestAnnotations)}}, nil, "has room for"},
	} {
		err := CheckForm(test.kind, test.form, test.fields)
		code := providers.CodeOf(err)
		if (err == nil) != (test.says == "") || err != nil && (!strings.Contains(err.Error(), test.says) || code != providers.Invalid && code != providers.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnnotationsOfOthers are not kept: they may hold values.
func TestAnnotationsOfOthers(t *testing.T) {
	var m metadata
	err := json.Unmarshal([]byte(`{"annotations": {
		"coffer/annotations": "a,kubectl.kubernetes.io/last-applied-configuration,coffer/address,gone", "a": "1", "b": "canary",
		"kubectl.kubernetes.io/last-applied-configuration": "canary", "coffer/type": "x/y", "coffer/immutable": "true"}}`), &m)
	if err != nil || len(m.Annotations) != 4 {
		t.Fatalf("%v, %v", m.Annotations, err)
	}
	f := m.attributes().Form
	if len(f.Annotations) != 1 || f.Annotations["a"] != "1" || f.Type != "x/y" || !f.Immutable {
		t.Errorf("%+v", f)
	}
	labels, annotations := m.ofConfiguration()
	if len(labels) != 0 || len(annotations) != 4 {
		t.Errorf("%v %v", labels, annotations)
	}
}

// TestReform is what of a form a change writes, and what nobody can change.
func TestReform(t *testing.T) {
	theirs := metadata{Name: "n", Namespace: "ns", ManagedFields: []managed{{Manager: "kubectl"}}}
	frozen := theirs
	frozen.ManagedFields = []managed{{Manager: "kubectl"}}
	frozen.ManagedFields[0].Fields.Immutable = json.RawMessage("{}")
	ours := func(typ string) metadata {
		return metadata{Name: "n", Annotations: ownAnnotations{keyType: typ}}
	}
	for name, test := range map[string]struct {
		live      metadata
		form      providers.Form
		typ       string
		immutable bool
		says      string
	}{
		"nothing":                {live: theirs},
		"a type nobody noted":    {live: theirs, form: providers.Form{Type: "a/b"}, typ: "a/b"},
		"the same type":          {live: ours("a/b"), form: providers.Form{Type: "a/b"}},
		"another type":           {live: ours("a/b"), form: providers.Form{Type: "a/c"}, says: "give it another name"},
		"no type any more":       {live: ours("a/b"), says: "another type than Opaque"},
		"Opaque is none":         {live: ours("Opaque")},
		"to be immutable":        {live: theirs, form: providers.Form{Immutable: true}, immutable: true},
		"immutable already":      {live: frozen, form: providers.Form{Immutable: true}},
		"immutable by others":    {live: frozen, says: "kubectl -n ns delete secret n"},
		"let go of as it stands": {live: frozen},
	} {
		a := providers.Attributes{Mark: providers.Mark{Project: "shop"}, Form: test.form}
		if name == "let go of as it stands" {
			a = providers.Attributes{}
		}
		typ, immutable, err := test.live.reform(a)
		if typ != test.typ || immutable != test.immutable || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %q %v %v", name, typ, immutable, err)
		}
	}
	if !frozen.attributes().Form.Immutable || theirs.attributes().Form.Immutable {
		t.Error("what another made immutable is not told")
	}
}
