//go:build servers

package plannertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// fleetSize is how many secrets the stories of this file have.
const fleetSize = 20

// fleet is a configuration with the first n of them, half of them
// generated.
func fleet(n int) string {
	var blocks []string
	for i := range n {
		value := `value = from_env("SMTP")`
		if i%2 == 0 {
			value = "value = random_hex({ bytes = 8 })"
		}
		blocks = append(blocks, block(fmt.Sprintf("s%02d", i), value))
	}
	return shop("  store = vault", blocks...)
}

// supplied is a configuration whose secrets all change with the environment.
func supplied() string {
	var blocks []string
	for i := range fleetSize {
		blocks = append(blocks, block(fmt.Sprintf("s%02d", i), `value = from_env("SMTP")`))
	}
	return shop("  store = vault", blocks...)
}

// change and look are the classes of requests: those that change something, and
// the others.
const change, look = "change", "look"

func vaultClass(method, _ string) string {
	if method == http.MethodGet {
		return look
	}
	return change
}

// converged applies until nothing is left and compares with what must be there:
// each secret at one version, marked, reported and nothing else.
func (v *vaultStore) converged(version string) error {
	var left []string
	for range 4 {
		if _, err := v.TryApply(); err != nil {
			return err
		}
		p := v.Plan()
		for _, d := range p.Diagnostics {
			return fmt.Errorf("%s: %s", d.Summary, d.Detail)
		}
		left = nil
		for _, c := range p.Changes {
			left = append(left, fmt.Sprintf("%s %s %s %s", c.Action, c.Address, c.Reason, c.Detail))
		}
		for _, n := range p.Notes {
			if n.Reason == planner.ReasonOrphan {
				return fmt.Errorf("%s is an orphan", n.Address)
			}
		}
		if len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("the plan does not become empty: %s", strings.Join(left, "; "))
	}
	want := map[string]string{}
	for i := range fleetSize {
		want[fmt.Sprintf("vault shop/dev/s%02d", i)] = version
	}
	if got := v.versions(); !maps.Equal(got, want) {
		return fmt.Errorf("versions are %v, want all %s", got, version)
	}
	if list := v.unmarked(); len(list) > 0 {
		return fmt.Errorf("%q do not carry our mark", list)
	}
	return nil
}

// typed makes sure that each failure of an apply is an error of the contract.
func typed(result *planner.Result) error {
	var problems []error
	if result == nil {
		return nil
	}
	for _, o := range result.Outcomes {
		var e *providers.Error
		if o.Err != nil && !errors.As(o.Err, &e) {
			problems = append(problems, fmt.Errorf("%s: not typed: %w", o.Change.Address, o.Err))
		}
	}
	return errors.Join(problems...)
}

// applyTwice is one story: an apply with something in the way, and another
// without.
type applyTwice struct {
	name    string
	begin   func(v *vaultStore)
	version string // that all have in the end
	// brief leaves the first and the last change to the soak.
	brief bool
}

// positions are the changes that a fault is tried on.
func (a applyTwice) positions(changes int) []int {
	if a.brief && !soaking {
		return []int{changes / 2}
	}
	return []int{1, changes / 2, changes}
}

func applies() []applyTwice {
	return []applyTwice{
		{name: "create", begin: func(v *vaultStore) { v.Configure(fleet(fleetSize)) }, version: "1"},
		{name: "update", version: "2", brief: true, begin: func(v *vaultStore) {
			v.Configure(supplied())
			v.Apply()
			v.Environ["SMTP"] = "second"
		}},
	}
}

// TestVaultFaults applies 20 secrets with each fault at the first, the middle
// and the last request that changes something, and then again without.
func TestVaultFaults(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{NoAudit: true})
	mount, names, cells := server.KV(), &prefixes{}, 0
	proxy := netfault.New(t, server.Address, netfault.Options{Class: vaultClass, Pace: time.Millisecond})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, proxy.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, story := range applies() {
		connections, changes := measured(t, proxy, func() *vaultStore {
			v := vaultWorld(t, server, mount, names)
			v.address = proxy.URL
			return v
		}, story)
		for _, f := range netfault.Faults() {
			if address := proxy.Address(f); address != proxy.URL && address != proxy.TLSURL {
				continue // such an address never gets as far as an apply
			}
			t.Run(story.name+"/"+f.Name, func(t *testing.T) {
				for _, nth := range story.positions(changes) {
					match := netfault.Match{Class: change, Nth: nth, Times: 1}
					if !f.Countable() || proxy.Address(f) == proxy.TLSURL {
						match = netfault.Match{Nth: connections - changes + nth, Times: 1}
					}
					v := vaultWorld(t, server, mount, names)
					v.caFile = ca
					if err := v.faulted(proxy, f, match, story); err != nil {
						t.Errorf("at request %d: %v", nth, err)
					}
					cells++
				}
			})
		}
	}
	t.Logf("%d cells", cells)
}

// measured applies a story without a fault and returns how fleetSize requests it
// makes, and how fleetSize of them change something.
func measured(t *testing.T, proxy *netfault.Proxy, world func() *vaultStore, story applyTwice) (all, changes int) {
	t.Helper()
	v := world()
	story.begin(v)
	l := v.Look()
	proxy.Reset()
	if _, err := v.Applier(l).Apply(context.Background(), l.Plan); err != nil {
		t.Fatal(err)
	}
	all, changes = proxy.Count("", ""), proxy.Count("", change)
	t.Logf("%s: %d requests, %d of them changes", story.name, all, changes)
	if changes < fleetSize {
		t.Fatalf("%d changes are too few", changes)
	}
	return all, changes
}

// patience is how long a gateway waits for an answer.
const patience = 300 * time.Millisecond

func (v *vaultStore) faulted(proxy *netfault.Proxy, f netfault.Fault, match netfault.Match, story applyTwice) error {
	story.begin(v)
	v.address = proxy.URL
	if address := proxy.Address(f); address == proxy.TLSURL {
		v.address = address
	}
	l := v.Look()
	proxy.Inject(f, match)
	if f.Endless { // an apply is not cut off in the middle of a call, so somebody on the way gives up
		defer time.AfterFunc(patience, proxy.Lift).Stop()
	}
	result, _ := v.Applier(l).Apply(context.Background(), l.Plan)
	proxy.Lift()
	proxy.Settle()
	v.address = proxy.URL
	return errors.Join(typed(result), v.converged(story.version))
}

// TestVaultTroubles does to the server what happens to servers while 20 secrets
// are applied, and then applies again.
func TestVaultTroubles(t *testing.T) {
	for _, trouble := range []struct {
		name string
		// strike is called in the middle, mend before the second apply.
		strike, mend func(v *vaultStore)
		says         string // what one of the errors must name
	}{
		{"sealed", func(v *vaultStore) { v.server.Seal() }, func(v *vaultStore) { v.server.Unseal() }, "operator unseal"},
		{"killed and restarted", func(v *vaultStore) { v.server.Kill() }, func(v *vaultStore) { v.server.Restart() }, "not reached"},
		{
			"token revoked",
			func(v *vaultStore) {
				v.server.Must(http.MethodPost, "auth/token/revoke", map[string]string{"token": v.token})
			},
			func(v *vaultStore) { v.token = v.server.TokenWith("all") }, "token",
		},
		{
			"permission taken away",
			func(v *vaultStore) { v.server.Policy("all", `path "sys/*" { capabilities = ["read"] }`) },
			func(v *vaultStore) { v.server.Policy("all", everything) }, "capabilities",
		},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			server := vaulttest.Start(t, vaulttest.Options{NoAudit: true, Storage: vaulttest.File})
			server.Policy("all", everything)
			mount, names := server.KV(), &prefixes{}
			for _, story := range applies() {
				v := vaultWorld(t, server, mount, names)
				v.token = server.TokenWith("all")
				story.begin(v)
				var writes atomic.Int64
				v.at = func(point string) error {
					if strings.HasPrefix(point, "before write") && writes.Add(1) == fleetSize/2 {
						trouble.strike(v)
					}
					return nil
				}
				l := v.Look()
				result, err := v.Applier(l).Apply(t.Context(), l.Plan)
				v.at = nil
				trouble.mend(v)
				if text := said(result); !strings.Contains(text, trouble.says) {
					t.Errorf("%s: no error names %q: %v\n%s", story.name, trouble.says, err, text)
				}
				if err := errors.Join(typed(result), v.converged(story.version)); err != nil {
					t.Errorf("%s: %v", story.name, err)
				}
			}
		})
	}
}

const everything = `path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "scan", "sudo"] }`

func said(result *planner.Result) string {
	var b strings.Builder
	if result != nil {
		for _, o := range result.Outcomes {
			if o.Err != nil {
				fmt.Fprintln(&b, o.Err)
			}
		}
	}
	return b.String()
}

// TestVaultIsSlow: an answer that comes byte by byte is an answer.
func TestVaultIsSlow(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{NoAudit: true})
	proxy := netfault.New(t, server.Address, netfault.Options{Class: vaultClass, Pace: 5 * time.Microsecond})
	v := vaultWorld(t, server, server.KV(), &prefixes{})
	v.address = proxy.URL
	v.Configure(fleet(fleetSize))
	proxy.Inject(netfault.Named("1 byte a second"), netfault.Match{})
	v.Apply()
	if proxy.Hits() < 2*fleetSize {
		t.Errorf("only %d answers were slow", proxy.Hits())
	}
	if err := v.converged("1"); err != nil {
		t.Error(err)
	}
}

// TestVaultHalved: an apply is killed, and the person cuts the configuration in
// half before the next. What was made and is declared no more is told or
// deleted, and nothing is left that neither the state nor the plan knows.
func TestVaultHalved(t *testing.T) {
	server := vaulttest.Start(t, vaulttest.Options{NoAudit: true})
	mount, names := server.KV(), &prefixes{}
	proxy := netfault.New(t, server.Address, netfault.Options{Class: vaultClass})
	// The last is one that the second half has written and not marked.
	for _, nth := range []int{1, fleetSize / 2, fleetSize, fleetSize + 1, fleetSize + 8, 2 * fleetSize} {
		for _, name := range []string{"reset mid-request", "answer dropped"} {
			v := vaultWorld(t, server, mount, names)
			v.address = proxy.URL
			v.Configure(fleet(fleetSize))
			l := v.Look()
			proxy.Inject(netfault.Named(name), netfault.Match{Class: change, Nth: nth})
			v.State.Fail = func(string) error {
				if proxy.Hits() > 0 {
					return errCut
				}
				return nil
			}
			_, _ = v.Applier(l).Apply(t.Context(), l.Plan)
			proxy.Lift()
			proxy.Settle()
			v.State.Fail = nil
			v.Configure(fleet(fleetSize / 2))
			made := v.versions()
			if err := v.reported(v.Plan(), made); err != nil {
				t.Errorf("%s at change %d: %v", name, nth, err)
			}
			_, _ = v.TryApply()
			if err := v.reported(v.Plan(), v.everything()); err != nil {
				t.Errorf("%s at change %d, after the next apply: %v", name, nth, err)
			}
			if err := once(nil, v.versions()); err != nil {
				t.Errorf("%s at change %d: %v", name, nth, err)
			}
		}
	}
}

// reported makes sure that the plan names each of the secrets that are there
// and not declared.
func (v *vaultStore) reported(p *planner.Plan, there map[string]string) error {
	var told strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintln(&told, c.Address, c.Location.Path, c.Action)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(&told, n.Address, n.Text)
	}
	var problems []error
	for i := fleetSize / 2; i < fleetSize; i++ {
		name := fmt.Sprintf("s%02d", i)
		if _, lives := there["vault shop/dev/"+name]; lives && !strings.Contains(told.String(), name) {
			problems = append(problems, fmt.Errorf("%s is there and the plan does not tell:\n%s", name, told.String()))
		}
	}
	return errors.Join(problems...)
}
