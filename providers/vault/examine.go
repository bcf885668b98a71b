package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

// pathsAtOnce is how many paths a server is asked about in one request.
const pathsAtOnce = 200

// How much of what a doctor looks at is worth a warning.
const (
	clockTolerance = 30 * time.Second // sign-in methods check times
	shortToken     = 10 * time.Minute
)

// examination gathers the findings of [Driver.Examine].
type examination struct {
	d    *Driver
	list []providers.Finding
}

func (x *examination) ok(subject, format string, args ...any) {
	x.list = append(x.list, providers.Finding{Subject: subject, Status: providers.FindingOK, Text: fmt.Sprintf(format, args...)})
}

func (x *examination) warn(subject, next, format string, args ...any) {
	x.list = append(x.list, providers.Finding{Subject: subject, Status: providers.FindingWarn, Text: fmt.Sprintf(format, args...), Next: next})
}

func (x *examination) fail(subject string, err error) {
	f := providers.Finding{Subject: subject, Status: providers.FindingFail, Text: err.Error(), Sent: providers.SentWith(err)}
	var e *providers.Error
	if errors.As(err, &e) {
		f.Next = e.Hint
		if e.Err != nil {
			f.Text = e.Err.Error()
		}
	}
	x.list = append(x.list, f)
}

// Examine implements [providers.Examiner]. Where no server answers, or it is
// sealed, there is nothing more to be looked at.
func (d *Driver) Examine(ctx context.Context, needed []providers.Permission) []providers.Finding {
	x := &examination{d: d}
	if !x.server(ctx) {
		return x.list
	}
	if x.token(ctx) {
		x.mount(ctx)
		x.permissions(ctx, needed)
	}
	return x.list
}

// server looks at what the server says without a token, and reports whether it
// serves.
func (x *examination) server(ctx context.Context) bool {
	before := x.d.now()
	h, err := x.d.health(ctx)
	after := x.d.now()
	host := x.d.client.address.Host
	switch {
	case err != nil:
		x.fail("server", err)
		return false
	case !h.Initialized:
		x.fail("server", providers.Errorf(providers.Unavailable, "%s is not initialised", host).
			WithHint("initialise it with `vault operator init` or `bao operator init`"))
		return false
	case h.Sealed:
		x.fail("server", providers.Errorf(providers.Unavailable, "%s is sealed", host).
			WithHint("unseal it with `vault operator unseal` or `bao operator unseal`"))
		return false
	}
	state := "active"
	if h.Standby {
		state = "standby, which passes requests on"
	}
	x.ok("server", "%s answers: version %s, cluster %s, unsealed, %s", host, h.Version, h.ClusterName, state)
	x.clock(h, before, after)
	return true
}

// clock compares the clocks. The server tells whole seconds, taken at some time
// while it was asked.
func (x *examination) clock(h health, before, after time.Time) {
	if h.ServerTimeUTC == 0 {
		return
	}
	server := time.Unix(h.ServerTimeUTC, 0)
	var off time.Duration
	switch {
	case server.After(after):
		off = server.Sub(after)
	case server.Add(time.Second).Before(before):
		off = before.Sub(server.Add(time.Second))
	}
	if off = off.Round(time.Second); off > clockTolerance {
		x.warn("clock", "set both by NTP: sign-in methods refuse what is dated wrong", "this machine's clock and the server's differ by %v", off)
		return
	}
	x.ok("clock", "agrees with the server's")
}

// token looks at the token in use, and reports whether there is one.
func (x *examination) token(ctx context.Context) bool {
	var answer struct {
		Data struct {
			Policies         []string
			IdentityPolicies []string `json:"identity_policies"`
			DisplayName      string   `json:"display_name"`
			TTL              int64
			NumUses          int `json:"num_uses"`
			Renewable        bool
			Orphan           bool
		}
	}
	err := x.d.client.do(ctx, request{method: http.MethodGet, path: "auth/token/lookup-self", into: &answer})
	if err != nil {
		x.fail("token", err)
		return false
	}
	t := answer.Data
	policies := sortedPolicies(slices.Concat(t.Policies, t.IdentityPolicies))
	left := time.Duration(t.TTL) * time.Second
	ends := "does not end"
	if t.TTL > 0 {
		ends = "ends in " + formatTTL(left)
		if t.Renewable {
			ends += ", renewable"
		}
	}
	if t.Orphan {
		ends += ", orphan"
	}
	text := fmt.Sprintf("%s with policies %s: %s", t.DisplayName, strings.Join(policies, ", "), ends)
	switch {
	case slices.Contains(policies, "root"):
		x.warn("token", "sign in with the policy that `coffer permissions` prints", "%s; it may do everything", text)
	case t.NumUses > 0:
		x.warn("token", "use a token without a number of uses: each request takes one", "%s; it ends after %d more uses", text, t.NumUses)
	case t.TTL > 0 && left < shortToken && !t.Renewable:
		x.warn("token", "sign in again before a long run", "%s", text)
	default:
		x.ok("token", "%s", text)
	}
	return true
}

func (x *examination) mount(ctx context.Context) {
	name := x.d.config.Mount
	subject := "mount " + name
	m, err := x.d.askMount(ctx)
	if err == nil && !m.exists {
		err = x.d.missingMount()
	}
	if err == nil {
		err = x.d.checkMount(m)
	}
	if err != nil {
		x.fail(subject, err)
		return
	}
	x.ok(subject, "KV version %s", m.version)
}

// permissions compares what is needed with what the token has.
func (x *examination) permissions(ctx context.Context, needed []providers.Permission) {
	for some := range slices.Chunk(needed, pathsAtOnce) {
		paths := make([]string, len(some))
		for i, p := range some {
			paths[i] = p.Path
		}
		var answer struct{ Data map[string]any }
		err := x.d.client.do(ctx, request{
			method: http.MethodPost, path: "sys/capabilities-self", body: map[string]any{"paths": paths}, into: &answer,
		})
		if err != nil {
			x.fail("permissions", err)
			return
		}
		for _, p := range some {
			x.permission(p, answer.Data[p.Path])
		}
	}
}

func (x *examination) permission(p providers.Permission, given any) {
	list, _ := given.([]any)
	if slices.Contains(list, any("root")) {
		x.ok(p.Path, "%s", strings.Join(p.Capabilities, ", "))
		return
	}
	var missing []string
	for _, c := range p.Capabilities {
		if !slices.Contains(list, any(c)) {
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 {
		x.ok(p.Path, "%s", strings.Join(p.Capabilities, ", "))
		return
	}
	f := providers.Finding{
		Subject: p.Path, Status: providers.FindingFail,
		Text: fmt.Sprintf("the token may not %s (%s)", strings.Join(missing, ", "), p.Why),
		Next: "its policies need: " + acl.Rule{Path: p.Path, Capabilities: p.Capabilities}.String(),
	}
	if slices.Equal(missing, []string{acl.Scan}) || p.Why == whyHolders { // there is a way without
		f.Status = providers.FindingWarn
	}
	x.list = append(x.list, f)
}
