//go:build servers

package plannertest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// kubeStore is one namespace of a real API server, which a [World] uses as its
// store "kubernetes".
type kubeStore struct {
	*World
	cluster       *servers.Cluster
	namespace     string
	address       string
	caFile, dir   string
	configWritten int
}

// kubeWorld returns a world whose only store is a new namespace.
func kubeWorld(t *testing.T, cluster *servers.Cluster, p *prefixes) *kubeStore {
	w := New(t, memory.Full())
	delete(w.Stores, "memory")
	w.Now = time.Now()
	w.Environ["SMTP"] = "first"
	k := &kubeStore{World: w, cluster: cluster, namespace: fmt.Sprintf("w-%d", p.n.Add(1)), address: cluster.Address, caFile: cluster.CAFile, dir: t.TempDir()}
	cluster.Namespace(k.namespace)
	w.Others = map[string]func() providers.Driver{"kubernetes": func() providers.Driver { return k.open(k.address, k.caFile) }}
	return k
}

func (k *kubeStore) open(address, ca string) *kubernetes.Driver {
	text := strings.ReplaceAll(k.cluster.Kubeconfig(k.cluster.AdminToken), k.cluster.Address, address)
	k.configWritten++
	file := filepath.Join(k.dir, fmt.Sprintf("config-%d", k.configWritten))
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, k.cluster.CAFile, ca)), 0o600); err != nil {
		k.Fatalf("%v", err)
	}
	d, err := kubernetes.Open(providers.Env{Getenv: func(string) string { return "" }, Now: time.Now}, &kubernetes.Config{Kubeconfig: file, Namespace: k.namespace})
	if err != nil {
		k.Fatalf("open: %v", err)
	}
	return d
}

// everything returns all values that are live, past every proxy, by store and
// path as written.
func (k *kubeStore) everything() map[string]string {
	k.Helper()
	d := k.open(k.cluster.Address, k.cluster.CAFile)
	found, err := d.List(context.Background())
	if err != nil {
		k.Fatalf("past the driver: %v", err)
	}
	all := map[string]string{}
	for path := range found {
		value, err := d.Read(context.Background(), path, "")
		if err != nil {
			k.Fatalf("past the driver: %v", err)
		}
		all["kubernetes "+d.Written(path)] = Text(value)
	}
	return all
}

// unmarked returns the Secrets that do not carry our mark.
func (k *kubeStore) unmarked() []string {
	d := k.open(k.cluster.Address, k.cluster.CAFile)
	found, err := d.List(context.Background())
	if err != nil {
		k.Fatalf("past the driver: %v", err)
	}
	var list []string
	for path, m := range found {
		if m.Attributes.Mark.Project != "test-1" {
			list = append(list, path)
		}
	}
	return list
}

func (k *kubeStore) edit(name, text string) {
	k.cluster.Must(http.MethodPatch, "/api/v1/namespaces/"+k.namespace+"/secrets/"+name,
		map[string]any{"data": map[string]string{"value": base64.StdEncoding.EncodeToString([]byte(text))}})
}

const (
	kKey, kURL, kSMTP, kLogin = "kubernetes shop-dev-key", "kubernetes shop-dev-url", "kubernetes shop-dev-smtp", "kubernetes shop-dev-login"

	onKube = "  store = kubernetes"
	keyAt  = "app.shop.secret.key[\"dev\"]"
	// editor is how a request without a field manager shows.
	editor = "Go-http-client"
)

type kubeStory struct {
	crashStory
	byHand func(k *kubeStore)
}

func kubeStories() []kubeStory {
	plain := shop(onKube, three(""))
	made := func(key string) func(v map[string]string) error {
		return func(v map[string]string) error {
			if v[kURL] != v[key]+":"+v[kSMTP] {
				return errors.New("the url is not made of the key and the password")
			}
			return nil
		}
	}
	here := made(kKey)
	edited := func(k *kubeStore) { k.edit("shop-dev-key", "by hand") }
	return []kubeStory{
		{crashStory: crashStory{name: "create", hcl: plain, check: here}},
		{crashStory: crashStory{name: "rotate", start: plain, check: here, opts: []Option{Settle(keyAt, planner.SettleRotate)}, replaces: []string{kKey, kURL}}},
		{crashStory: crashStory{name: "update", start: plain, env: "second", check: here, replaces: []string{kSMTP, kURL}}},
		{crashStory: crashStory{
			name: "update one field beside others", env: "second", replaces: []string{kLogin},
			start: shop(onKube, "  secret \"login\" {\n    fields = {\n      user = from_env(\"SMTP\")\n      password = random_hex({ bytes = 8 })\n    }\n  }\n"),
			check: func(v map[string]string) error {
				if !strings.Contains(v[kLogin], "user=second") || !strings.Contains(v[kLogin], "password=") {
					return errors.New("the field was not changed, or the other is gone")
				}
				return nil
			},
		}},
		{crashStory: crashStory{name: "delete", start: plain, hcl: shop(onKube, block("key", "value = random_hex({ bytes = 8 })")), removes: []string{kSMTP, kURL}}},
		{crashStory: crashStory{
			name: "relocate", start: plain, hcl: shop(onKube, three("\n    path = \"at-key\"")),
			removes: []string{kKey}, want: map[string]string{"kubernetes at-key": kKey}, check: made("kubernetes at-key"),
		}},
		{crashStory: crashStory{name: "relabel", start: plain, hcl: shop(onKube, three("\n    labels = { team = \"a\" }")), check: here}},
		{byHand: edited, crashStory: crashStory{name: "accept", start: plain, check: here, replaces: []string{kURL}, opts: []Option{Settle(keyAt, planner.SettleAccept)}}},
		{byHand: edited, crashStory: crashStory{name: "rotate over another manager", start: plain, check: here, replaces: []string{kKey, kURL}, opts: []Option{Settle(keyAt, planner.SettleRotate)}}},
	}
}

// TestEveryRequestOnKubernetes cuts each story before and after every request to
// a real API server, as by a process that died before it or while it waited, and
// runs it again.
func TestEveryRequestOnKubernetes(t *testing.T) {
	cluster, names, total := servers.Kube(t), &prefixes{}, 0
	proxy := netfault.New(t, cluster.Address, netfault.Options{Transport: cluster.Client().Transport})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, proxy.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range kubeStories() {
		t.Run(s.name, func(t *testing.T) {
			requests := 0
			for _, fault := range []netfault.Fault{netfault.Named("reset mid-request"), netfault.Named("answer dropped")} {
				at := 0
				for s.cut(t, kubeWorld(t, cluster, names), proxy, ca, fault, at+1) {
					at++
				}
				requests += at
			}
			if requests < 4 {
				t.Errorf("only %d requests", requests)
			}
			total += requests
		})
	}
	t.Logf("%d requests over %d stories", total, len(kubeStories()))
}

// cut runs the story with a fault at one request, and again until nothing is
// left. It returns false when the story ended before that request.
func (s kubeStory) cut(t *testing.T, k *kubeStore, proxy *netfault.Proxy, ca string, fault netfault.Fault, at int) bool {
	t.Helper()
	if s.start != "" {
		k.Configure(s.start).Apply()
	}
	if s.byHand != nil {
		s.byHand(k)
	}
	if s.hcl != "" {
		k.Configure(s.hcl)
	}
	if s.env != "" {
		k.Environ["SMTP"] = s.env
	}
	before := k.everything()
	k.address, k.caFile = proxy.TLSURL, ca
	armed := false
	k.State.Fail = func(string) error {
		if armed && proxy.Hits() > 0 {
			return errCut
		}
		return nil
	}
	l := k.Look(s.opts...)
	match := netfault.Match{Nth: at}
	if fault.MayHaveActed {
		match.Times = 1
	}
	proxy.Reset()
	proxy.Inject(fault, match)
	armed = true
	applier := k.Applier(l)
	applier.Parallelism = 1
	_, err := applier.Apply(context.Background(), l.Plan)
	armed = false
	hit := proxy.Hits()
	proxy.Lift()
	proxy.Settle()
	if hit == 0 {
		if err != nil {
			t.Fatalf("without a crash: %v", err)
		}
		return false
	}
	after := k.everything()
	problem := errors.Join(s.settle(k.World), s.survived(before, after, k.everything()))
	if list := k.unmarked(); len(list) > 0 {
		problem = errors.Join(problem, fmt.Errorf("%q do not carry our mark", list))
	}
	if problem != nil {
		t.Fatalf("%s at request %d: %v\nbefore %v\nafter %v\nend %v", fault.Name, at, problem, before, after, k.everything())
	}
	return true
}

// TestAnotherManagerOnKubernetes has another manager fight over a key through 50
// plans and applies: it is told by its name, and nothing is written against it.
func TestAnotherManagerOnKubernetes(t *testing.T) {
	cluster := servers.Kube(t)
	proxy := netfault.New(t, cluster.Address, netfault.Options{Transport: cluster.Client().Transport})
	k := kubeWorld(t, cluster, &prefixes{})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, proxy.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	k.Configure(shop(onKube, three(""))).Apply()
	k.address, k.caFile = proxy.TLSURL, ca
	for round := range 50 {
		if round%10 == 0 {
			k.edit("shop-dev-key", fmt.Sprint("theirs ", round))
		}
		if round%10 == 5 {
			k.cluster.Must(http.MethodPatch, "/api/v1/namespaces/"+k.namespace+"/secrets/shop-dev-smtp",
				map[string]any{"metadata": map[string]any{"labels": map[string]string{"round": fmt.Sprint(round)}}})
		}
		report := k.Drift()
		if len(report.Drift) != 1 || report.Drift[0].ChangedBy != editor || report.Drift[0].Address.String() != keyAt || report.Drift[0].ChangedAt.IsZero() {
			t.Fatalf("round %d: %+v", round, report.Drift)
		}
		if _, err := k.TryApply(); err != nil && !strings.Contains(err.Error(), "conflict") {
			t.Logf("round %d: %v", round, err)
		}
		if got, want := k.everything()[kKey], fmt.Sprint("theirs ", round-round%10); got != want {
			t.Fatalf("round %d: %q, want %q", round, got, want)
		}
	}
	for _, r := range proxy.Requests() {
		if r.Method != http.MethodGet {
			t.Fatalf("%s %s", r.Method, r.Path)
		}
	}
	// One word of a person ends it.
	k.Apply(Settle(keyAt, planner.SettleAccept))
	if left := k.Drift().Drift; len(left) > 0 {
		t.Errorf("%+v", left)
	}
}
