package kubernetes

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/state/remote"
)

func TestArguments(t *testing.T) {
	good := kubeconfig(t, "https://c.example.com:6443/k8s/clusters/c-1/?x=1", "", "    token: "+token+"\n")
	open := func(c Config, env remote.Env) (*blobs, error) { return c.open(env, t.TempDir()) }
	for _, bad := range []string{"", "A", "a.b", "a/b", "-a", "a-", "ä", strings.Repeat("a", 64), "a\nb", "a?b"} {
		_, err := open(Config{Namespace: bad, Name: "a", Kubeconfig: good}, environment())
		wantError(t, err, remote.Invalid, "namespace")
		_, err = open(Config{Namespace: "a", Name: bad, Kubeconfig: good}, environment())
		wantError(t, err, remote.Invalid, "name")
	}
	dir := filepath.Dir(good)
	write(t, filepath.Join(dir, "text"), "canary: [")
	write(t, filepath.Join(dir, "empty"), "apiVersion: v1\nkind: Config\n")
	t.Chdir(dir)
	for name, test := range map[string]struct {
		config Config
		env    remote.Env
		says   string
	}{
		"no file":         {Config{Kubeconfig: "/none"}, environment(), "kubeconfig: there is no file /none"},
		"no KUBECONFIG":   {Config{}, environment("KUBECONFIG", "/none"+string(filepath.ListSeparator)+"/nor this"), "KUBECONFIG: there is no file /none, /nor this"},
		"no kubeconfig":   {Config{Kubeconfig: filepath.Join(dir, "text")}, environment(), "kubeconfig: it cannot be read"},
		"empty":           {Config{Kubeconfig: filepath.Join(dir, "empty")}, environment(), "no current context: write context"},
		"no context":      {Config{Kubeconfig: good, Context: "prod"}, environment(), `it has no context "prod"`},
		"no user":         {Config{Kubeconfig: good, Context: "nobody"}, environment(), `no user "missing", which its context "nobody" names`},
		"no authority":    {Config{Kubeconfig: kubeconfig(t, "https://c", "canary", "    token: a\n")}, environment(), "cannot be used"},
		"no cluster":      {Config{}, environment("HOME", t.TempDir()), "no cluster is known"},
		"context in none": {Config{Context: "prod"}, environment("KUBERNETES_SERVICE_HOST", "10.0.0.1"), `context "prod": there is no kubeconfig`},
		"no account":      {Config{}, environment("KUBERNETES_SERVICE_HOST", "10.0.0.1", "KUBERNETES_SERVICE_PORT", "443"), "a pod without a service account"},
	} {
		t.Run(name, func(t *testing.T) {
			test.config.Namespace, test.config.Name = "team", "shop"
			_, err := open(test.config, test.env)
			if e := wantError(t, err, remote.Invalid, test.says, "/team/shop: cannot open"); !e.Unchanged {
				t.Error("not unchanged")
			}
		})
	}
	for name, test := range map[string]struct {
		config Config
		env    remote.Env
	}{
		"relative":   {Config{Kubeconfig: "config"}, remote.Env{Dir: dir, Getenv: environment().Getenv}},
		"KUBECONFIG": {Config{Context: "main"}, environment("KUBECONFIG", "/none"+string(filepath.ListSeparator)+good)},
		"home":       {Config{Kubeconfig: "~/config"}, environment("HOME", dir)},
		"absolute":   {Config{Kubeconfig: good}, environment("KUBERNETES_SERVICE_HOST", "10.0.0.1")},
	} {
		test.config.Namespace, test.config.Name = "team", "shop"
		b, err := open(test.config, test.env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := b.String(); got != "kubernetes://c.example.com:6443/k8s/clusters/c-1/team/shop" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// In a pod nothing need be written, and a replaced token is noticed.
func TestInCluster(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), token)
	write(t, filepath.Join(dir, "ca.crt"), c.ca())
	host, port, _ := strings.Cut(strings.TrimPrefix(c.URL, "https://"), ":")
	env := environment("KUBERNETES_SERVICE_HOST", host, "KUBERNETES_SERVICE_PORT", port, "HOME", t.TempDir())
	b, err := (&Config{Namespace: namespace, Name: "shop"}).open(env, dir)
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, remote.StateBlob, []byte("1"), "")
}
