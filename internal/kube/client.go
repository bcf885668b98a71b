package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Client sends requests to one cluster. It follows no redirect, tries nothing
// again, and has no rate limit of its own: the API server's priority and
// fairness says when it is too much. It is safe for concurrent use.
type Client struct {
	// HTTP is what sends.
	HTTP *http.Client
	// Base is the address below which the API lies.
	Base *url.URL

	plugin string // the kubeconfig's credential plugin, "" for none
}

// Address returns the address of a cluster, without what it may hold of
// credentials.
func Address(cluster *rest.Config) (*url.URL, error) {
	base, _, err := rest.DefaultServerUrlFor(cluster)
	if err != nil || base.Host == "" {
		return nil, errors.New("the server of the kubeconfig's cluster is no address")
	}
	base.User, base.RawQuery, base.Fragment = nil, "", ""
	return base, nil
}

// ErrCredentials is that of [NewClient] where what the kubeconfig names to sign
// in with cannot be used, and HintCredentials what to do about it.
var ErrCredentials = errors.New("the credentials or certificates of the kubeconfig's user or cluster cannot be used")

// HintCredentials is the next step after [ErrCredentials].
const HintCredentials = "see that the files it names are there and are PEM, and that its user has no auth-provider, which is history: use a credential plugin (exec)"

// NewClient returns a client whose requests take at most patience each. Its
// error is that of [Address] or [ErrCredentials].
func NewClient(cluster *rest.Config, agent string, patience time.Duration) (*Client, error) {
	base, err := Address(cluster)
	if err != nil {
		return nil, err
	}
	c := &Client{Base: base}
	if cluster.ExecProvider != nil {
		c.plugin = cluster.ExecProvider.Command
	}
	cluster.UserAgent = agent
	transport, err := rest.TransportFor(cluster)
	if err != nil {
		return nil, ErrCredentials
	}
	c.HTTP = &http.Client{
		Transport: transport,
		Timeout:   patience,
		// Credentials go nowhere but to the server of the configuration.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Send sends a request. A credential plugin knows no context, so it is left
// behind when that of the request ends.
func (c *Client) Send(req *http.Request) (*http.Response, error) {
	if c.plugin == "" {
		return c.HTTP.Do(req)
	}
	type outcome struct {
		resp *http.Response
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		resp, err := c.HTTP.Do(req)
		done <- outcome{resp, err}
	}()
	select {
	case o := <-done:
		return o.resp, o.err
	case <-req.Context().Done():
		go func() {
			if o := <-done; o.err == nil {
				o.resp.Body.Close()
			}
		}()
		return nil, req.Context().Err()
	}
}

// Failure is why a request has no whole answer.
type Failure struct {
	Err  error
	Hint string // the next step, "" for none
	// SignIn: there are no credentials to send.
	SignIn bool
	// Unsent: the server cannot have acted on it.
	Unsent bool
	// Lasting: it does not pass by itself.
	Lasting bool
	// Ended: the context of the request did.
	Ended bool
}

// Unanswered explains the error of [Client.Send], or of reading what it gave.
// Nothing of a URL, a credential or a plugin's output is in it.
func (c *Client) Unanswered(ctx context.Context, err error) Failure {
	if ctx.Err() != nil {
		return Failure{Err: ctx.Err(), Ended: true}
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if text := err.Error(); c.plugin != "" && strings.HasPrefix(text, "getting credentials: ") {
		return c.pluginFailed(text)
	}
	if f, ok := untrusted(err); ok {
		return f
	}
	f := Failure{Err: errors.New("no answer that is HTTP")}
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &op):
		f.Err, f.Unsent = op, op.Op == "dial"
	case errors.As(err, &timeout) && timeout.Timeout():
		f.Err = fmt.Errorf("no answer within %s", c.HTTP.Timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.Err = errors.New("the connection broke off")
	}
	f.Hint = "is the API server at " + c.Base.Host + " up, and reachable from here?"
	return f
}

// pluginFailed says what a credential plugin came to. What it wrote to stderr
// is on the terminal already; its stdout is a credential and is not quoted.
func (c *Client) pluginFailed(text string) Failure {
	f := Failure{SignIn: true, Unsent: true, Lasting: true, Hint: "run `kubectl auth whoami` with the same kubeconfig and look at what it says"}
	switch {
	case strings.Contains(text, "not found"):
		f.Err = fmt.Errorf("the kubeconfig's credential plugin %q is not installed", c.plugin)
		f.Hint = "install it, or put it onto the PATH"
	case strings.Contains(text, "failed with exit code"):
		f.Err = fmt.Errorf("the kubeconfig's credential plugin %q failed", c.plugin)
	case strings.Contains(text, "interactive"), strings.Contains(text, "standard input"):
		f.Err = fmt.Errorf("the kubeconfig's credential plugin %q needs a terminal", c.plugin)
		f.Hint = "run where there is one, or use another user of the kubeconfig"
	default:
		f.Err = fmt.Errorf("the kubeconfig's credential plugin %q gave no credentials", c.plugin)
	}
	return f
}

// untrusted explains a connection that TLS refused before anything was sent; ok
// is false for any other.
func untrusted(err error) (f Failure, ok bool) {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	f = Failure{Unsent: true, Lasting: true}
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, certificate := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case authority:
		f.Err = errors.New("the server's certificate is signed by nobody that the kubeconfig trusts")
		f.Hint = "look at certificate-authority of its cluster"
	case name:
		f.Err = errors.New("the server's certificate is for another name")
		f.Hint = "look at server and tls-server-name of its cluster"
	case certificate:
		f.Err = errors.New("the server's certificate is not valid")
		f.Hint = "renew it, or set the clock of this machine right"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		f.Err = errors.New("the server does not speak TLS")
		f.Hint = "look at server of the kubeconfig's cluster"
	case errors.As(err, &alert):
		f.Err = fmt.Errorf("the server refuses the connection: %w", alert)
		f.Hint = "look at the client certificate of the kubeconfig's user"
	default:
		return Failure{}, false
	}
	return f, true
}
