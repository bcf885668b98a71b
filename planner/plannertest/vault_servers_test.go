//go:build servers

package plannertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
	"github.com/cofferhq/coffer/state"
)

// vaultStore is one prefix of a mount on a real server, which a [World] uses as
// its store "vault".
type vaultStore struct {
	*World
	server         *vaulttest.Server
	mount, prefix  string
	address, token string
	caFile         string
	// at, where it is set, is asked before and after every call of the driver;
	// its error ends the call.
	at func(point string) error
}

// prefixes gives each store of a test binary a prefix of its own.
type prefixes struct{ n atomic.Int64 }

// vaultWorld returns a world whose only store is a new prefix of mount.
func vaultWorld(t *testing.T, server *vaulttest.Server, mount string, p *prefixes) *vaultStore {
	w := New(t, memory.Full())
	delete(w.Stores, "memory")
	w.Now = time.Now()
	w.Environ["SMTP"] = "first"
	v := &vaultStore{
		World: w, server: server, mount: mount, prefix: fmt.Sprintf("w%d", p.n.Add(1)), address: server.Address, token: server.RootToken,
	}
	w.Others = map[string]func() providers.Driver{"vault": v.open}
	return v
}

// open is a driver as a new process makes it.
func (v *vaultStore) open() providers.Driver {
	d := v.driver(v.address)
	if v.at == nil {
		return d
	}
	return &pointed{Driver: d, powers: providers.PowersOf(d), at: v.at}
}

func (v *vaultStore) driver(address string) providers.Driver {
	config := &vault.Config{Address: address, Mount: v.mount, Prefix: v.prefix, Token: providers.NewCredential("token", false,
		func(context.Context) (secret.Value, error) { return secret.String(v.token), nil })}
	if strings.HasPrefix(address, "https:") {
		config.CACert = v.caFile
	}
	d, err := vault.Open(providers.Env{
		Dir: v.dir, Getenv: func(string) string { return "" }, Now: time.Now, Project: "test-1", Phase: providers.PhaseApply,
	}, config)
	if err != nil {
		v.Fatalf("open: %v", err)
	}
	return d
}

// direct asks the server past every proxy and every point, as root.
func (v *vaultStore) direct() (*providers.Provider, *vault.Driver) {
	token := v.token
	v.token = v.server.RootToken
	d := v.driver(v.server.Address).(*vault.Driver)
	p := providers.New("direct", d, providers.Options{})
	_, err := p.Incarnation(context.Background()) // reads the token
	v.token = token
	if err != nil {
		v.Fatalf("past the driver: %v", err)
	}
	return p, d
}

// everything returns all values that are live, by store and path as written.
func (v *vaultStore) everything() map[string]string {
	v.Helper()
	p, d := v.direct()
	found, err := p.List(context.Background())
	if err != nil {
		v.Fatalf("past the driver: %v", err)
	}
	all := map[string]string{}
	for path, m := range found {
		if m.IsDeleted() {
			continue
		}
		value, err := p.Read(context.Background(), path, "")
		if err != nil {
			v.Fatalf("past the driver: %v", err)
		}
		all["vault "+d.Written(path)] = Text(value)
	}
	return all
}

// versions returns how many versions each secret had, the deleted ones too.
func (v *vaultStore) versions() map[string]string {
	v.Helper()
	p, d := v.direct()
	found, err := p.List(context.Background())
	if err != nil {
		v.Fatalf("past the driver: %v", err)
	}
	all := map[string]string{}
	for path, m := range found {
		all["vault "+d.Written(path)] = m.Version
	}
	return all
}

// unmarked returns the live secrets that do not carry our mark.
func (v *vaultStore) unmarked() []string {
	p, d := v.direct()
	found, err := p.List(context.Background())
	if err != nil {
		v.Fatalf("past the driver: %v", err)
	}
	var list []string
	for path, m := range found {
		if !m.IsDeleted() && m.Attributes.Mark.Project != "test-1" {
			list = append(list, d.Written(path))
		}
	}
	return list
}

// objectsStand makes sure that every object of the state is on the server as the
// state has it.
func (v *vaultStore) objectsStand() error {
	p, _ := v.direct()
	var problems []error
	for _, e := range v.State.snapshot("test-1").Sorted() {
		if e.Role != state.RoleObject {
			continue
		}
		ref := providers.ObjectRef{Kind: e.Location.Kind, Path: e.Location.Path}
		found, err := p.InspectObjects(context.Background(), []providers.ObjectRef{ref})
		if err != nil || found[ref].Document != e.Document {
			problems = append(problems, fmt.Errorf("the %s %s is not what the state says: %w", ref.Kind, ref.Path, err))
		}
	}
	return errors.Join(problems...)
}

// must makes a call on a part of the API of the secret at path.
func (v *vaultStore) must(method, part, path string, body any) {
	v.server.Must(method, v.mount+"/"+part+"/"+v.prefix+"/"+path, body)
}

func (v *vaultStore) edit(path, text string) {
	v.must(http.MethodPost, "data", path, map[string]any{"data": map[string]string{"value": text}})
}

// vaultStory is a crash story whose byHand is done to a server.
type vaultStory struct {
	crashStory
	byHand func(v *vaultStore)
}

const vKey, vURL, vSMTP = "vault shop/dev/key", "vault shop/dev/url", "vault shop/dev/smtp"

func vaultStories() []vaultStory {
	const onVault = "  store = vault"
	const key = "app.shop.secret.key[\"dev\"]"
	here := made("vault", "shop/dev/key")
	plain := shop(onVault, three(""))
	policy := func(extra string) string {
		return "  policy \"runtime\" {\n    readers = [vault_approle(\"shop-crash\")" + extra + "]\n  }\n"
	}
	login := func(user string) string {
		return shop(onVault, "  secret \"login\" {\n    fields = {\n      user = "+user+"\n      password = random_hex({ bytes = 8 })\n    }\n  }\n")
	}
	edited := func(v *vaultStore) { v.edit("shop/dev/key", "by hand") }
	return []vaultStory{
		{crashStory: crashStory{name: "create", hcl: plain, check: here}},
		{crashStory: crashStory{name: "create with readers", hcl: shop(onVault, three(""), policy("")), check: here}},
		{crashStory: crashStory{name: "a reader is added", start: shop(onVault, three(""), policy("")), hcl: shop(onVault, three(""), policy(`, vault_approle("other-crash")`)), check: here}},
		{crashStory: crashStory{name: "rotate", start: plain, check: here, opts: []Option{Settle(key, planner.SettleRotate)}, replaces: []string{vKey, vURL}}},
		{crashStory: crashStory{name: "update", start: plain, env: "second", check: here, replaces: []string{vSMTP, vURL}}},
		{crashStory: crashStory{
			name: "update one field beside others", start: login(`from_env("SMTP")`), env: "second", replaces: []string{"vault shop/dev/login"},
			check: func(v map[string]string) error {
				if !strings.Contains(v["vault shop/dev/login"], "user=second") {
					return errors.New("the field was not changed")
				}
				return nil
			},
		}},
		{crashStory: crashStory{name: "delete", start: plain, hcl: shop(onVault, block("key", "value = random_hex({ bytes = 8 })")), removes: []string{vSMTP, vURL}}},
		{crashStory: crashStory{
			name: "relocate", start: plain, hcl: shop(onVault, three("\n    path = \"at/key\"")),
			removes: []string{vKey}, want: map[string]string{"vault at/key": vKey}, check: made("vault", "at/key"),
		}},
		{crashStory: crashStory{name: "relabel", start: plain, hcl: shop(onVault, three("\n    labels = { team = \"a\" }")), check: here}},
		{byHand: edited, crashStory: crashStory{name: "accept", start: plain, check: here, replaces: []string{vURL}, opts: []Option{Settle(key, planner.SettleAccept)}}},
		{byHand: edited, crashStory: crashStory{
			name: "restore a version", start: plain, check: here, replaces: []string{vKey, vURL}, opts: []Option{Settle(key, planner.SettleRestore)},
		}},
		{
			byHand:     func(v *vaultStore) { v.must(http.MethodDelete, "data", "shop/dev/key", nil) },
			crashStory: crashStory{name: "restore what was deleted", start: plain, check: here},
		},
	}
}

// TestEveryPointOnVault is the crash enumeration on a real server: each story
// is cut before and after every call, before every durable step, and before and
// after every request, and run again.
func TestEveryPointOnVault(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{NoAudit: true})
	server.Must(http.MethodPost, "sys/auth/approle", map[string]string{"type": "approle"})
	names := &prefixes{}
	total := 0
	for _, s := range vaultStories() {
		t.Run(s.name, func(t *testing.T) {
			mount, n := server.KV(), 0
			for s.cutOn(t, vaultWorld(t, server, mount, names), n+1) {
				n++
			}
			if n < 6 {
				t.Errorf("only %d points", n)
			}
			requests := 0
			proxy := netfault.New(t, server.Address, netfault.Options{})
			for _, fault := range []netfault.Fault{netfault.Named("reset mid-request"), netfault.Named("answer dropped")} {
				at := 0
				for s.cutRequests(t, vaultWorld(t, server, mount, names), proxy, fault, at+1) {
					at++
				}
				requests += at
			}
			t.Logf("%d points, %d requests", n, requests)
			total += n + requests
		})
	}
	t.Logf("%d points over %d stories", total, len(vaultStories()))
}

// begin brings the world to where the story starts.
func (s vaultStory) begin(v *vaultStore) {
	if s.start != "" {
		v.Configure(s.start)
		v.Apply()
	}
	if s.byHand != nil {
		s.byHand(v)
	}
	if s.hcl != "" {
		v.Configure(s.hcl)
	}
	if s.env != "" {
		v.Environ["SMTP"] = s.env
	}
}

// cutOn runs the story, stopped at a point, and again until nothing is left. It
// returns false when the story ended before that point.
func (s vaultStory) cutOn(t *testing.T, v *vaultStore, at int) bool {
	t.Helper()
	var mu sync.Mutex
	passed, armed, where := 0, false, ""
	v.at = func(point string) error {
		mu.Lock()
		defer mu.Unlock()
		if !armed {
			return nil
		}
		if passed++; passed == at {
			where = point
		}
		if passed >= at { // the process is dead
			return errCut
		}
		return nil
	}
	v.State.Fail = v.at
	return s.run(t, v, fmt.Sprint("cut at point ", at), func(apply func() error) (string, error) {
		armed = true
		err := apply()
		armed = false
		return where, err
	})
}

// cutRequests runs the story against a server that is reached no more from one
// request on, as by a process that died before it, or whose answer to that
// request is lost, as by one that died while it waited.
func (s vaultStory) cutRequests(t *testing.T, v *vaultStore, proxy *netfault.Proxy, fault netfault.Fault, at int) bool {
	t.Helper()
	v.address = proxy.URL
	armed := false
	v.State.Fail = func(string) error {
		if armed && proxy.Hits() > 0 {
			return errCut
		}
		return nil
	}
	match := netfault.Match{Nth: at}
	if fault.MayHaveActed {
		match.Times = 1
	}
	return s.run(t, v, fmt.Sprintf("%s at request %d", fault.Name, at), func(apply func() error) (string, error) {
		proxy.Reset()
		proxy.Inject(fault, match)
		armed = true
		err := apply()
		armed = false
		proxy.Lift()
		proxy.Settle()
		for _, r := range proxy.Requests() {
			if r.Fault != "" {
				return r.Method + " " + r.Path, err
			}
		}
		return "", err
	})
}

// run brings the world to where the story starts, applies once under whatever
// cut does, which says where it stopped, and then until nothing is left.
func (s vaultStory) run(t *testing.T, v *vaultStore, what string, cut func(apply func() error) (string, error)) bool {
	t.Helper()
	s.begin(v)
	before, counts := v.everything(), v.versions()
	l := v.Look(s.opts...)
	where, err := cut(func() error {
		applier := v.Applier(l)
		applier.Parallelism = 1
		_, err := applier.Apply(context.Background(), l.Plan)
		return err
	})
	if where == "" {
		if err != nil {
			t.Fatalf("without a crash: %v", err)
		}
		return false
	}
	after := v.everything()
	problem := errors.Join(s.settle(v.World), s.survived(before, after, v.everything()), once(counts, v.versions()), v.objectsStand())
	if list := v.unmarked(); len(list) > 0 {
		problem = errors.Join(problem, fmt.Errorf("%q do not carry our mark", list))
	}
	if problem != nil {
		t.Fatalf("%s, %s: %v\nbefore %v\nafter %v\nend %v", what, where, problem, before, after, v.everything())
	}
	return true
}

// once makes sure that no secret got more than one new version.
func once(before, end map[string]string) error {
	var problems []error
	for name, version := range end {
		var was, is int
		_, _ = fmt.Sscan(before[name], &was)
		if _, err := fmt.Sscan(version, &is); err != nil || is > was+1 {
			problems = append(problems, fmt.Errorf("%s has version %s, and had %q", name, version, before[name]))
		}
	}
	return errors.Join(problems...)
}
