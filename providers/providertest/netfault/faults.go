package netfault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Fault is one way in which a request fails.
type Fault struct {
	Name string
	// MayHaveActed: the server has done, or can have done, what the request asks
	// although the client is not told so. Only such a fault makes a change
	// doubtful; but a client cannot always tell it from one that changed nothing.
	MayHaveActed bool
	// Endless: the client waits until its own time limit. Give it a short one.
	Endless bool
	// Person: somebody must do something before it gets better, so an error has
	// to say what.
	Person bool

	stage stage
	shake func(*certificates) (*tls.Config, error)
	run   func(*exchange)
}

// stage is where a fault happens.
type stage int

const (
	answering stage = iota // a request has arrived
	shaking                // a TLS connection is being made
	refusing               // nobody listens
	naming                 // the name of the host leads nowhere
)

// Address returns where a client has to be pointed for the fault to happen.
func (p *Proxy) Address(f Fault) string {
	switch f.stage {
	case naming:
		// A label of more than 63 bytes is no name (RFC 1035, 2.3.4): no resolver
		// is asked, so the answer is the same everywhere.
		return "http://" + strings.Repeat("x", 64) + ".invalid:8200"
	case shaking:
		return p.TLSURL
	}
	return p.URL
}

// Countable says whether the fault can be injected into a chosen request; the
// others lie in the address or last until they are lifted.
func (f Fault) Countable() bool { return f.stage == answering || f.stage == shaking }

// Faults returns every fault, in a constant order.
func Faults() []Fault {
	all := connections()
	all = append(all, silences()...)
	all = append(all, statuses()...)
	return append(all, answers()...)
}

// Named returns the fault of a name, and panics where there is none: the names
// are constants of tests.
func Named(name string) Fault {
	for _, f := range Faults() {
		if f.Name == name {
			return f
		}
	}
	panic("netfault: no fault is called " + name)
}

// connections are the faults that happen before a request arrives.
func connections() []Fault {
	return []Fault{
		{Name: "DNS failure", Person: true, stage: naming},
		{Name: "refused", Person: true, stage: refusing},
		{Name: "TLS failure", Person: true, stage: shaking, shake: func(*certificates) (*tls.Config, error) {
			return nil, errors.New("no handshake")
		}},
		{Name: "expired certificate", Person: true, stage: shaking, shake: func(c *certificates) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{c.expired}}, nil
		}},
	}
}

// silences are the faults without a whole answer.
func silences() []Fault {
	return []Fault{
		{Name: "timeout before send", Endless: true, run: (*exchange).hold},
		{Name: "timeout after send", MayHaveActed: true, Endless: true, run: acted(func(x *exchange, _ reply) { x.hold() })},
		{Name: "reset mid-request", run: (*exchange).reset},
		{Name: "reset mid-response", MayHaveActed: true, run: acted(func(x *exchange, a reply) { x.cut(a, (*exchange).slam) })},
		{Name: "closed mid-response", MayHaveActed: true, run: acted(func(x *exchange, a reply) { x.cut(a, nil) })},
		{Name: "answer dropped", MayHaveActed: true, run: acted(func(x *exchange, _ reply) { x.hangUp() })},
		{Name: "1 byte a second", MayHaveActed: true, Endless: true, run: acted((*exchange).drip)},
	}
}

// acted is a fault that comes after the server did as it was asked.
func acted(then func(*exchange, reply)) func(*exchange) {
	return func(x *exchange) {
		a, err := x.forward()
		if err != nil {
			x.reset()
			return
		}
		then(x, a)
	}
}

// statuses are answers of a gateway that never asked the server, and of one
// that did and lost the answer.
func statuses() []Fault {
	var all []Fault
	for _, status := range []int{408, 409, 412, 429, 500, 502, 503, 504} {
		all = append(all, Fault{Name: fmt.Sprint(status), run: func(x *exchange) { x.send(page(status)) }})
	}
	all = append(all,
		Fault{Name: "429 with Retry-After", run: func(x *exchange) {
			a := page(http.StatusTooManyRequests)
			a.header.Set("Retry-After", "7")
			x.send(a)
		}},
		Fault{Name: "429 with Retry-After of a day", run: func(x *exchange) {
			a := page(http.StatusTooManyRequests)
			a.header.Set("Retry-After", "86400")
			x.send(a)
		}},
		Fault{Name: "404 of a gateway", Person: true, run: func(x *exchange) { x.send(page(http.StatusNotFound)) }},
	)
	for _, status := range []int{500, 502, 503, 504} {
		all = append(all, Fault{
			Name: fmt.Sprintf("%d after acting", status), MayHaveActed: true,
			run: acted(func(x *exchange, _ reply) { x.send(page(status)) }),
		})
	}
	return all
}

// page is what a gateway says of a status: no JSON, and not the server's words.
func page(status int) reply {
	text := http.StatusText(status)
	return reply{
		status,
		http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		fmt.Appendf(nil, "<html>\r\n<head><title>%d %s</title></head>\r\n<body><h1>%d %s</h1></body>\r\n</html>\r\n", status, text, status, text),
	}
}

// answers are whole answers that are not what they should be.
func answers() []Fault {
	spoiled := func(name string, spoil func([]byte) []byte) Fault {
		return Fault{Name: name, MayHaveActed: true, run: acted(func(x *exchange, a reply) {
			if a.body = spoil(a.body); a.status == http.StatusNoContent {
				a.status = http.StatusOK
			}
			a.header.Set("Content-Type", "application/json")
			x.send(a)
		})}
	}
	return []Fault{
		spoiled("truncated JSON", truncate),
		spoiled("garbage", func([]byte) []byte { return garbage() }),
		spoiled("duplicate keys", duplicate),
		spoiled("wrong types", wrongTypes),
		spoiled("wrong shape", func([]byte) []byte { return []byte(`[[[]]]`) }),
		spoiled("deep nesting", func([]byte) []byte { return deep() }),
		{Name: "wrong content type", MayHaveActed: true, run: acted(func(x *exchange, a reply) {
			a.header.Set("Content-Type", "image/png")
			x.send(a)
		})},
		{Name: "HTML sign-in page", Person: true, run: func(x *exchange) { x.send(signIn()) }},
		{Name: "huge body", MayHaveActed: true, run: acted(func(x *exchange, _ reply) { x.flood() })},
		{Name: "gzip bomb", MayHaveActed: true, run: acted(func(x *exchange, _ reply) { x.bomb() })},
		{Name: "redirect to another host", Person: true, run: func(x *exchange) { x.redirect(http.StatusTemporaryRedirect) }},
		{Name: "redirect to another host as GET", Person: true, run: func(x *exchange) { x.redirect(http.StatusFound) }},
	}
}

func signIn() reply {
	return reply{
		http.StatusOK,
		http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Set-Cookie": {"session=none"}},
		[]byte("<!doctype html><html><head><title>Sign in</title></head><body><form method=post action=/login>" +
			"<input name=user><input name=password type=password></form><script>alert(1)</script></body></html>"),
	}
}
