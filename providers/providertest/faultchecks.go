package providertest

import (
	"bytes"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
)

// bounded checks how often was tried, how long was waited, and how much was
// taken in.
func (c *faultCell) bounded(requests []netfault.Request, allocated uint64) {
	if c.slept > maxWait {
		c.problem("it waited %v, more than %v", c.slept, maxWait)
	}
	if n := len(c.call.requests) + 4; len(requests) > n*most {
		c.problem("it made %d requests", len(requests))
	}
	for _, r := range requests {
		if slack := int64(16 << 20); r.Sent > c.h.Largest+slack {
			c.problem("it took %d bytes of one answer, more than %d", r.Sent, c.h.Largest)
		}
	}
	if limit := uint64(12 * c.h.Largest); allocated > limit {
		c.problem("it allocated %d MiB, more than %d", allocated>>20, limit>>20)
	}
	if !class(c.fault).doubtful {
		return
	}
	usual := tally(c.call.requests, c.h.Changes)
	for key, n := range tally(requests, c.h.Changes) {
		if n > max(usual[key], 1) {
			c.problem("%d requests %s after an unclear outcome, want %d", n, key, max(usual[key], 1))
		}
	}
}

// tally counts the requests that change something, by method and class.
func tally(requests []netfault.Request, changes func(netfault.Request) bool) map[string]int {
	n := map[string]int{}
	for _, r := range requests {
		if changes(r) {
			n[r.Method+" "+r.Class]++
		}
	}
	return n
}

// leaked looks for values and credentials in what was said, and in what went to
// a host that nobody configured.
func (c *faultCell) leaked(err error, arrived []netfault.Arrival) {
	var sink bytes.Buffer
	print(&sink, nil, err)
	sink.Write(c.log.Bytes())
	for _, hit := range c.finder.Find(sink.Bytes()) {
		c.problem("in the error or the log: %v", hit)
	}
	for _, a := range arrived[min(c.strangers, len(arrived)):] {
		if hits := c.finder.Find([]byte(a.Text)); len(a.Credentials) > 0 || len(hits) > 0 {
			c.problem("another host got %s %s with %v, %v", a.Method, a.Path, a.Credentials, hits)
		}
	}
	c.strangers = len(arrived)
}

// converges does what a person does next: looks, and asks again for what is not
// as it should be. The run goes on with the same driver.
func (c *faultCell) converges(p *providers.Provider) {
	if c.fault.Endless || c.h.Proxy.Address(c.fault) != c.h.Proxy.URL {
		p = c.open(c.h.Proxy.URL, 0)
	}
	if c.call.done != nil {
		if err := c.call.again(c, p); err != nil {
			c.problem("afterwards: %v", err)
		} else if !c.call.done(c) {
			c.problem("afterwards it succeeded, and it is not done: %s", c.snapshot())
		}
		if c.call.name == "write object" {
			return
		}
		want := c.versions + c.call.makes
		if n := c.h.Versions(c.path); n > want {
			c.problem("there are %d versions, want %d", n, want)
		}
		return
	}
	if result, err := c.call.do(c, p); err != nil || result != c.call.result {
		c.problem("afterwards it answered %q, %v; want %q", result, err, c.call.result)
	}
}
