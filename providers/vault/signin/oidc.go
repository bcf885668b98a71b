package signin

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

const (
	callbackPort = 8250 // as the server's own tool has it
	callbackPath = "/oidc/callback"
	// patience is how long a person has; the server forgets the attempt after
	// ten minutes.
	patience = 5 * time.Minute
)

// oidcConfig is auth "oidc": for people, with a browser.
type oidcConfig struct {
	Phase string `hcl:"phase,optional"`
	Mount string `hcl:"mount,optional"`
	Role  string `hcl:"role,optional"` // the default role of the mount
	Port  int    `hcl:"port,optional"` // of the callback on localhost
}

func (a *oidcConfig) when() string { return a.Phase }

func (a *oidcConfig) method(d Deps) (Method, error) {
	mount, err := mountOr(a.Mount, "oidc")
	if err != nil {
		return nil, err
	}
	port := a.Port
	if port == 0 {
		port = callbackPort
	}
	if port < 1 || port > 65535 {
		return nil, providers.Errorf(providers.Invalid, "port = %d is no port", port)
	}
	return &oidcMethod{role: a.Role, mount: mount, port: port, random: d.Random, person: d.Person}, nil
}

type oidcMethod struct {
	role, mount string
	port        int
	random      io.Reader
	person      providers.Person
}

func (m *oidcMethod) Name() string { return named("oidc", m.role) }
func (m *oidcMethod) Anew() Anew   { return ByPerson }
func (m *oidcMethod) Next() string { return "run the command again and sign in once more" }

func (m *oidcMethod) redirect() string {
	return "http://localhost:" + strconv.Itoa(m.port) + callbackPath
}

func (m *oidcMethod) SignIn(ctx context.Context, c Caller) (Token, error) {
	if m.person.Show == nil {
		return Token{}, providers.Errorf(providers.Denied, "sign in with %s: this needs a person with a browser, and there is no terminal", m.Name()).
			WithHint("use approle, jwt or kubernetes where nobody looks; or sign in before with `vault login -method=oidc` and leave the auth block out")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "localhost:"+strconv.Itoa(m.port))
	if err != nil {
		return Token{}, providers.Errorf(providers.Unavailable, "sign in with %s: wait for the browser: %w", m.Name(), err).
			WithHint("end what else uses port %d, or choose another with port, which the role has to allow too", m.port)
	}
	ask, err := m.begin(ctx, c)
	if err != nil {
		return Token{}, errorsAfter(listener.Close, err)
	}
	answer, err := m.wait(ctx, listener, ask)
	if err != nil {
		return Token{}, err
	}
	return login(ctx, c, request{
		who: m.Name(), mount: m.mount, verb: http.MethodGet, path: "oidc/callback",
		body: url.Values{"state": {ask.state}, "nonce": {ask.nonce}, "code": {answer}, "client_nonce": {ask.clientNonce}},
		hint: m.hint(), sent: []secret.Value{secret.String(answer), secret.String(ask.clientNonce)},
	})
}

func (m *oidcMethod) hint() string {
	return fmt.Sprintf("the role must allow %q among its allowed_redirect_uris, and its bound_claims must fit you: `vault read auth/%s/role/%s`", m.redirect(), m.mount, orROLE(m.role))
}

// errorsAfter returns err after the clean-up, whose own error says less.
func errorsAfter(cleanup func() error, err error) error {
	_ = cleanup()
	return err
}

// attempt is one sign-in that the server knows of.
type attempt struct {
	url, state, nonce, clientNonce string
}

// begin asks the server for the page to open. The client nonce binds the rest
// of the sign-in to this process: whoever sees the page's address has none.
func (m *oidcMethod) begin(ctx context.Context, c Caller) (attempt, error) {
	random := make([]byte, 20)
	if _, err := io.ReadFull(m.random, random); err != nil {
		return attempt{}, providers.Errorf(providers.Unavailable, "sign in with %s: %w", m.Name(), err)
	}
	a := attempt{clientNonce: base64.RawURLEncoding.EncodeToString(random)}
	body := map[string]string{"redirect_uri": m.redirect(), "client_nonce": a.clientNonce}
	if m.role != "" {
		body["role"] = m.role
	}
	var answer struct {
		Data struct {
			AuthURL string `json:"auth_url"`
		} `json:"data"`
	}
	if err := c.Call(ctx, secret.Value{}, http.MethodPost, "auth/"+m.mount+"/oidc/auth_url", body, &answer); err != nil {
		r := request{who: m.Name(), mount: m.mount, hint: m.hint(), sent: []secret.Value{secret.String(a.clientNonce)}}
		return attempt{}, r.refused(err)
	}
	a.url = answer.Data.AuthURL
	if a.url == "" { // how the server says that it does not allow this
		return attempt{}, providers.Errorf(providers.Denied, "sign in with %s: the server does not begin an OIDC sign-in for this role and address", m.Name()).WithHint("%s", m.hint())
	}
	page, err := url.Parse(a.url)
	if err != nil || page.Host == "" || page.Scheme != "https" && page.Scheme != "http" ||
		strings.ContainsFunc(a.url, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r > unicode.MaxASCII }) {
		return attempt{}, providers.Errorf(providers.Invalid, "sign in with %s: what the server wants opened is no web page", m.Name()).
			WithHint("look at the oidc_discovery_url of `vault read auth/%s/config`", m.mount)
	}
	a.state, a.nonce = page.Query().Get("state"), page.Query().Get("nonce")
	if a.state == "" || a.nonce == "" {
		return attempt{}, providers.Errorf(providers.Invalid, "sign in with %s: the page that the server wants opened has no state or no nonce", m.Name())
	}
	return a, nil
}

// wait shows the page and waits until the browser comes back with a code.
func (m *oidcMethod) wait(ctx context.Context, listener net.Listener, a attempt) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	came := make(chan url.Values, 1)
	server := callbackServer(a.state, came)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	defer func() {
		// The browser still reads its page; it gets a moment to.
		brief, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		if server.Shutdown(brief) != nil {
			_ = server.Close()
		}
		<-ended
	}()
	m.person.Show("Sign in to continue. If no browser opens, open this page:\n\n" + a.url + "\n")
	if m.person.Open != nil {
		_ = m.person.Open(a.url) // the page is shown, and can be opened by hand
	}
	select {
	case <-ctx.Done():
		return "", providers.Errorf(providers.Cancelled, "sign in with %s: nobody came back from the browser: %w", m.Name(), ctx.Err()).WithHint("%s", m.Next())
	case answer := <-came:
		if code := answer.Get("code"); code != "" {
			return code, nil
		}
		return "", providers.Errorf(providers.Denied, "sign in with %s: the identity provider refused: %.200q", m.Name(), answer.Get("error")+" "+answer.Get("error_description")).
			WithHint("%s", m.Next())
	}
}

// callbackServer takes the first answer that carries the state of this
// sign-in: any page in the browser can call it, and only the right one knows
// the state.
func callbackServer(state string, came chan<- url.Values) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+callbackPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer")
		query := r.URL.Query()
		if query.Get("state") != state {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "This answer is not for the sign-in that waits here.\n")
			return
		}
		select {
		case came <- query:
			_, _ = io.WriteString(w, "Coffer has the answer. You can close this page and look at the terminal.\n")
		default:
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, "This sign-in has had its answer.\n")
		}
	})
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}
