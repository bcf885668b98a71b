package signin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// server plays the token endpoints and a login. It keeps its own clock, as a
// real one does.
type server struct {
	mu     sync.Mutex
	clock  time.Time
	ttl    time.Duration
	max    time.Duration // 0 is none
	tokens map[string]*issued
	calls  []string
	fail   map[string]error // by path
	gate   chan struct{}    // calls wait for it; nil is open

	noRenewal, batch, noLookup, listed bool
}

type issued struct{ made, until time.Time }

var denied = providers.Errorf(providers.Denied, "permission denied")

func newServer(ttl time.Duration) *server {
	return &server{clock: time.Unix(1_800_000_000, 0), ttl: ttl, tokens: map[string]*issued{}, fail: map[string]error{}}
}

func (s *server) pass(d time.Duration) { s.mu.Lock(); s.clock = s.clock.Add(d); s.mu.Unlock() }
func (s *server) revoke(name string)   { s.mu.Lock(); delete(s.tokens, name); s.mu.Unlock() }

func (s *server) count(path string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c == path {
			n++
		}
	}
	return n
}

func (s *server) issue(name string) {
	s.mu.Lock()
	s.tokens[name] = &issued{s.clock, s.clock.Add(s.ttl)}
	s.mu.Unlock()
}

func (s *server) good(v secret.Value) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alive(v) != nil
}

func (s *server) alive(v secret.Value) *issued {
	name, _ := plain(v)
	if t := s.tokens[name]; t != nil && s.clock.Before(t.until) {
		return t
	}
	return nil
}

func (s *server) Call(ctx context.Context, token secret.Value, _, path string, _, into any) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return providers.Errorf(providers.Cancelled, "%w", ctx.Err())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, path)
	if err := s.fail[path]; err != nil {
		return err
	}
	if path == "auth/test/login" {
		name := fmt.Sprintf("t%d", s.logins())
		s.tokens[name] = &issued{s.clock, s.clock.Add(s.ttl)}
		s.answer(into, "Auth", map[string]any{"ClientToken": name, "LeaseDuration": int64(s.ttl / time.Second), "Renewable": !s.noRenewal, "TokenType": map[bool]string{true: "batch", false: "service"}[s.batch]})
		return nil
	}
	t := s.alive(token)
	if t == nil {
		return denied
	}
	switch path {
	case "auth/token/lookup-self":
		if s.noLookup && s.listed {
			return providers.Errorf(providers.Denied, "1 error occurred:\n\t* permission denied\n\n")
		} else if s.noLookup {
			return denied
		}
		s.answer(into, "Data", map[string]any{"TTL": int64(t.until.Sub(s.clock) / time.Second), "CreationTTL": int64(s.ttl / time.Second), "Renewable": !s.noRenewal})
	case "auth/token/renew-self":
		until := s.clock.Add(s.ttl)
		if end := t.made.Add(s.max); s.max > 0 && until.After(end) {
			until = end
		}
		t.until = until
		s.answer(into, "Auth", map[string]any{"LeaseDuration": int64(until.Sub(s.clock) / time.Second), "Renewable": true})
	case "auth/token/revoke-self":
		name, _ := plain(token)
		delete(s.tokens, name)
	}
	return nil
}

func (s *server) logins() (n int) {
	for _, c := range s.calls {
		if c == "auth/test/login" {
			n++
		}
	}
	return n
}

// answer fills the one field of an answer.
func (s *server) answer(into any, field string, values map[string]any) {
	v := reflect.ValueOf(into).Elem().FieldByName(field)
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	for name, value := range values {
		if f := v.FieldByName(name); f.IsValid() {
			f.Set(reflect.ValueOf(value))
		}
	}
}

type testMethod struct{ anew Anew }

func (m testMethod) Name() string { return "test" }
func (m testMethod) Next() string { return "do it again" }
func (m testMethod) Anew() Anew   { return m.anew }
func (m testMethod) SignIn(ctx context.Context, c Caller) (Token, error) {
	return login(ctx, c, request{who: "test", mount: "test", verb: "POST", path: "login", hint: "do it again"})
}

// given is a configured token; what it gives can change.
type given struct {
	testMethod
	name *string
}

func (m given) SignIn(context.Context, Caller) (Token, error) {
	return Token{Value: secret.String(*m.name)}, nil
}

// machine is the clock of the program, beside that of the server.
type machine struct {
	*server
	skew time.Duration
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clock.Add(m.skew)
}

func (m *machine) use(t *testing.T, s *Session) secret.Value {
	t.Helper()
	v, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	signIn = "auth/test/login"
	renew  = "auth/token/renew-self"
	look   = "auth/token/lookup-self"
	revoke = "auth/token/revoke-self"
)

func TestTokenIsKeptAlive(t *testing.T) {
	type count struct{ logins, renewals, lookups int }
	for name, test := range map[string]struct {
		ttl, step, total time.Duration
		set              func(m *machine)
		method           Anew
		want             count
		dead             bool // some use gets a token that the server does not take
	}{
		"short run":                           {ttl: time.Hour, step: time.Minute, total: 39 * time.Minute, method: Silently, want: count{1, 0, 0}},
		"renewed at two thirds":               {ttl: time.Hour, step: time.Minute, total: 40 * time.Minute, method: Silently, want: count{1, 1, 0}},
		"renewed for a day":                   {ttl: time.Hour, step: time.Minute, total: 24 * time.Hour, method: Silently, want: count{1, 36, 0}},
		"never used between":                  {ttl: time.Hour, step: 3 * time.Hour, total: 3 * time.Hour, method: Silently, want: count{2, 1, 0}},
		"not renewable":                       {ttl: time.Hour, step: time.Minute, total: 3 * time.Hour, method: Silently, set: func(m *machine) { m.noRenewal = true }, want: count{4, 0, 0}},
		"to its maximum and on":               {ttl: 30 * time.Minute, step: time.Minute, total: time.Hour, method: Silently, set: func(m *machine) { m.max = 40 * time.Minute }, want: count{2, 3, 0}},
		"renewal refused":                     {ttl: time.Hour, step: time.Minute, total: 41 * time.Minute, method: Silently, set: func(m *machine) { m.fail[renew] = denied }, want: count{2, 1, 0}},
		"no end":                              {ttl: 0, step: time.Hour, total: 24 * time.Hour, method: Silently, set: func(m *machine) { m.ttl = 0; m.noRenewal = true }, want: count{1, 0, 0}, dead: true},
		"configured, short run":               {ttl: time.Hour, step: time.Second, total: 59 * time.Second, method: Never},
		"configured, renewed":                 {ttl: time.Hour, step: time.Minute, total: 3 * time.Hour, method: Never, want: count{0, 4, 1}},
		"configured, not renewable":           {ttl: time.Hour, step: time.Minute, total: 50 * time.Minute, method: Never, set: func(m *machine) { m.noRenewal = true }, want: count{0, 0, 1}},
		"configured, may not look":            {ttl: time.Hour, step: time.Minute, total: 50 * time.Minute, method: Never, set: func(m *machine) { m.noLookup = true }, want: count{0, 0, 1}},
		"configured, to its maximum":          {ttl: time.Hour, step: time.Minute, total: 119 * time.Minute, method: Never, set: func(m *machine) { m.max = 2 * time.Hour }, want: count{0, 4, 1}},
		"by a person, to its maximum":         {ttl: time.Hour, step: time.Minute, total: 119 * time.Minute, method: ByPerson, set: func(m *machine) { m.max = 2 * time.Hour }, want: count{1, 4, 0}},
		"by a person, again after its end":    {ttl: time.Hour, step: time.Minute, total: 121 * time.Minute, method: ByPerson, set: func(m *machine) { m.max = 2 * time.Hour }, want: count{2, 4, 0}},
		"hour ahead at start":                 {ttl: time.Hour, step: time.Minute, total: 39 * time.Minute, method: Silently, set: func(m *machine) { m.skew = time.Hour }, want: count{1, 0, 0}},
		"server has trouble with the renewal": {ttl: time.Hour, step: 5 * time.Second, total: 59 * time.Minute, method: Never, set: func(m *machine) { m.fail[renew] = providers.Errorf(providers.Unavailable, "sealed") }, want: count{0, 38, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{server: newServer(test.ttl)}
			if test.set != nil {
				test.set(m)
			}
			var method Method = testMethod{test.method}
			configured := "mine"
			if test.method == Never {
				m.issue(configured)
				method = given{testMethod{Never}, &configured}
			}
			s := NewSession(method, m, m.now)
			for passed := time.Duration(0); ; passed += test.step {
				if v := m.use(t, s); !m.good(v) && !test.dead {
					t.Fatalf("after %v the server does not take the token", passed)
				}
				if passed >= test.total {
					break
				}
				m.pass(test.step)
			}
			if got := (count{m.count(signIn), m.count(renew), m.count(look)}); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// A clock that is set while the program runs costs a call, never a failure.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		for _, renewable := range []bool{true, false} {
			for _, method := range []Anew{Never, Silently} {
				for _, at := range []int{1, 5} {
					t.Run(fmt.Sprint(jump, renewable, method, at), func(t *testing.T) {
						m := &machine{server: newServer(20 * time.Minute)}
						m.noRenewal = !renewable
						configured := "mine"
						m.issue(configured)
						var signing Method = testMethod{method}
						if method == Never {
							signing = given{testMethod{Never}, &configured}
						}
						s := NewSession(signing, m, m.now)
						end := 60
						if method == Never && !renewable {
							end = 19 // nothing could help it
						}
						for minute := range end {
							if minute == at {
								m.skew = jump
							}
							if v := m.use(t, s); !m.good(v) {
								t.Fatalf("the token is dead in minute %d", minute)
							}
							m.pass(time.Minute)
						}
						if n := len(m.calls); n > 7 {
							t.Errorf("%d calls: %v", n, m.calls)
						}
					})
				}
			}
		}
	}
}

// Whoever comes while a sign-in is under way waits for it, and for a renewal
// nobody waits.
func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{server: newServer(time.Hour)}
		s := NewSession(testMethod{Silently}, m, m.now)
		m.gate = make(chan struct{})
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Token(first); !errors.Is(err, context.Canceled) {
				t.Errorf("the first has %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			all.Go(func() {
				if v := m.use(t, s); !m.good(v) {
					t.Error("a dead token")
				}
			})
		}
		impatient, leave := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := s.Token(impatient); !errors.Is(err, context.Canceled) || providers.CodeOf(err) != providers.Cancelled {
				t.Errorf("the impatient has %v", err)
			}
		})
		synctest.Wait()
		leave()
		cancel() // the first to come gives up: another takes over
		synctest.Wait()
		close(m.gate)
		all.Wait()
		if n := m.count(signIn); n != 1 {
			t.Errorf("%d sign-ins", n)
		}

		m.pass(41 * time.Minute)
		m.gate = make(chan struct{})
		all.Go(func() { m.use(t, s) })
		synctest.Wait()
		for range 20 {
			m.use(t, s) // would hang
		}
		close(m.gate)
		all.Wait()
		if n := m.count(renew); n != 1 {
			t.Errorf("%d renewals", n)
		}

		// the same for a rejected token
		used := m.use(t, s)
		m.revoke("t1")
		again := make(chan bool, 20)
		for range 20 {
			all.Go(func() { again <- s.Rejected(t.Context(), used) })
		}
		all.Wait()
		for range 20 {
			if !<-again {
				t.Error("not worth another try")
			}
		}
		if n, looks := m.count(signIn), m.count(look); n != 2 || looks != 1 {
			t.Errorf("%d sign-ins, %d looks", n, looks)
		}
	})
}

func TestRejected(t *testing.T) {
	type step struct {
		do   func(m *machine)
		want bool
	}
	dies := func(names ...string) func(*machine) {
		return func(m *machine) {
			for _, n := range names {
				m.revoke(n)
			}
		}
	}
	waits := func(m *machine) { m.pass(2 * time.Second) }
	for name, test := range map[string]struct {
		method Anew
		set    func(m *machine)
		steps  []step
		logins int
		text   string // of Diagnose at the end
	}{
		"a permission is missing":        {method: Silently, steps: []step{{waits, false}, {waits, false}}, logins: 1},
		"revoked":                        {method: Silently, steps: []step{{dies("t1"), true}, {waits, false}}, logins: 2},
		"revoked twice":                  {method: Silently, steps: []step{{dies("t1"), true}, {waits, false}, {func(m *machine) { m.pass(2 * time.Second); m.revoke("t2") }, true}}, logins: 3},
		"may not look, listed":           {method: Silently, set: func(m *machine) { m.noLookup, m.listed = true, true }, steps: []step{{waits, false}}, logins: 1},
		"may not look, revoked":          {method: Silently, set: func(m *machine) { m.noLookup = true }, steps: []step{{dies("t1"), true}, {waits, false}, {waits, false}}, logins: 2, text: "the server does not take the test: it is expired, was revoked, or may not look at itself; do it again"},
		"the sign-in is refused":         {method: Silently, steps: []step{{func(m *machine) { m.revoke("t1"); m.fail[signIn] = denied }, false}, {waits, false}}, logins: 2, text: "sign in with test at auth/test: permission denied; do it again"},
		"the server is away":             {method: Silently, steps: []step{{func(m *machine) { m.fail[look] = providers.Errorf(providers.Unavailable, "sealed") }, false}}, logins: 1},
		"the server is away for sign-in": {method: Silently, steps: []step{{func(m *machine) { m.revoke("t1"); m.fail[signIn] = providers.Errorf(providers.Unavailable, "sealed") }, false}, {func(m *machine) { delete(m.fail, signIn) }, true}}, logins: 3},
		"expired":                        {method: Silently, steps: []step{{func(m *machine) { m.pass(2 * time.Hour) }, true}}, logins: 2},
		"configured, revoked":            {method: Never, steps: []step{{dies("mine"), false}, {waits, false}}, text: "the server does not take the test: it is expired, was revoked, or may not look at itself; do it again"},
		"configured, no permission":      {method: Never, steps: []step{{waits, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{server: newServer(time.Hour)}
			if test.set != nil {
				test.set(m)
			}
			var method Method = testMethod{test.method}
			configured := "mine"
			if test.method == Never {
				m.issue(configured)
				method = given{testMethod{Never}, &configured}
			}
			s := NewSession(method, m, m.now)
			used := m.use(t, s)
			for i, step := range test.steps {
				step.do(m)
				if got := s.Rejected(t.Context(), used); got != step.want {
					t.Fatalf("step %d: %v", i, got)
				}
				if step.want {
					used = m.use(t, s)
				}
			}
			if n := m.count(signIn); n != test.logins {
				t.Errorf("%d sign-ins, want %d", n, test.logins)
			}
			text := ""
			if err := s.Diagnose(t.Context()); err != nil {
				text = err.Error()
			}
			if text != test.text {
				t.Errorf("diagnosis %q, want %q", text, test.text)
			}
		})
	}
}

// An agent that keeps the file of a token fresh is followed.
func TestConfiguredTokenIsReadAgain(t *testing.T) {
	m := &machine{server: newServer(time.Hour)}
	configured := "mine"
	m.issue(configured)
	s := NewSession(given{testMethod{Never}, &configured}, m, m.now)
	used := m.use(t, s)
	m.revoke(configured)
	configured = "next"
	m.issue(configured)
	if !s.Rejected(t.Context(), used) || !m.good(m.use(t, s)) {
		t.Error("the new token is not used")
	}
}

// A thousand refused paths are no thousand questions, and a refused sign-in
// locks no account.
func TestRefusalsAreCheap(t *testing.T) {
	m := &machine{server: newServer(time.Hour)}
	s := NewSession(testMethod{Silently}, m, m.now)
	used := m.use(t, s)
	for range 1000 {
		s.Rejected(t.Context(), used)
		_ = s.Diagnose(t.Context())
	}
	if n := len(m.calls); n != 2 {
		t.Errorf("%d calls", n)
	}
	m = &machine{server: newServer(time.Hour)}
	m.fail[signIn] = denied
	s = NewSession(testMethod{Silently}, m, m.now)
	for range 1000 {
		if _, err := s.Token(t.Context()); providers.CodeOf(err) != providers.Denied || !strings.Contains(err.Error(), "do it again") {
			t.Fatal(err)
		}
	}
	if n := len(m.calls); n != 1 {
		t.Errorf("%d calls", n)
	}
	// a server that is not there is asked again
	m.fail[signIn] = providers.Errorf(providers.Unavailable, "no route").WithHint("start it")
	s = NewSession(testMethod{Silently}, m, m.now)
	if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "start it") {
		t.Error(err)
	}
	delete(m.fail, signIn)
	m.use(t, s)
}

func TestLease(t *testing.T) {
	m := &machine{server: newServer(time.Hour)}
	configured := "mine"
	m.issue(configured)
	s := NewSession(given{testMethod{Never}, &configured}, m, m.now)
	m.use(t, s)
	m.pass(10 * time.Second)
	for range 2 {
		l, err := s.Lease(t.Context())
		if want := (providers.Lease{Expires: m.tokens[configured].until, Renewable: true, Identity: "test"}); err != nil || l != want {
			t.Errorf("%+v, want %+v, %v", l, want, err)
		}
	}
	if n := len(m.calls); n != 1 {
		t.Errorf("%d calls", n)
	}
	s = NewSession(testMethod{Silently}, m, m.now)
	l, err := s.Lease(t.Context())
	if want := (providers.Lease{Expires: m.now().Add(time.Hour), Renewable: true, Identity: "test"}); err != nil || l != want {
		t.Errorf("%+v, want %+v, %v", l, want, err)
	}
	if m.count(look) != 1 {
		t.Error("a login tells how long its token lasts; nothing is to be asked")
	}
	m.revoke(configured)
	s = NewSession(given{testMethod{Never}, &configured}, m, m.now)
	if _, err := s.Lease(t.Context()); providers.CodeOf(err) != providers.Denied || !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
}

func TestCloseRevokesWhatWasMade(t *testing.T) {
	configured := "mine"
	for name, test := range map[string]struct {
		method Method
		batch  bool
		unused bool
		want   int
	}{
		"login":        {method: testMethod{Silently}, want: 1},
		"batch":        {method: testMethod{Silently}, batch: true},
		"never used":   {method: testMethod{Silently}, unused: true},
		"configured":   {method: given{testMethod{Never}, &configured}},
		"ended before": {method: testMethod{Silently}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{server: newServer(time.Hour)}
			m.batch = test.batch
			s := NewSession(test.method, m, m.now)
			if !test.unused {
				m.use(t, s)
			}
			if name == "ended before" {
				m.revoke("t1")
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if n := m.count(revoke); n != test.want || test.want > 0 && len(m.tokens) > 0 {
				t.Errorf("%d revocations, %d tokens left", n, len(m.tokens))
			}
		})
	}
}
