package providertest

import (
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/netfault"
)

// faultClass is what a driver may say of a fault.
type faultClass struct {
	codes []providers.Code // of a request that changes nothing
	// doubtful: who made a change cannot know whether it happened. Then the one
	// right code is Ambiguous, and the change is not asked for again.
	doubtful bool
	// passes: a call that changes nothing succeeds when it is tried again.
	passes bool
	// lasting: also tried for good, until the driver gives up.
	lasting bool
}

// class returns what is right for a fault. An answer that nobody can read may
// be Unknown, or Unavailable where the driver hopes for a better one.
func class(f netfault.Fault) faultClass {
	const (
		unknown, conflict, denied, invalid = providers.Unknown, providers.Conflict, providers.Denied, providers.Invalid
		throttled, unavailable             = providers.Throttled, providers.Unavailable
	)
	codes := func(list ...providers.Code) []providers.Code { return list }
	switch name := strings.TrimSuffix(f.Name, " after acting"); name {
	case "refused":
		return faultClass{codes: codes(unavailable), passes: true, lasting: true}
	case "DNS failure", "TLS failure", "expired certificate":
		return faultClass{codes: codes(unavailable, invalid, denied)}
	case "timeout before send", "timeout after send", "1 byte a second":
		return faultClass{codes: codes(unavailable, providers.Cancelled), doubtful: true}
	case "reset mid-request", "reset mid-response", "closed mid-response", "answer dropped":
		return faultClass{codes: codes(unavailable), doubtful: true, passes: true, lasting: f.Name == "answer dropped"}
	case "408":
		return faultClass{codes: codes(unavailable, throttled)}
	case "409", "412":
		return faultClass{codes: codes(conflict, unavailable, invalid, unknown)}
	case "429", "429 with Retry-After":
		return faultClass{codes: codes(throttled), passes: true, lasting: true}
	case "429 with Retry-After of a day":
		return faultClass{codes: codes(throttled)}
	case "500":
		return faultClass{codes: codes(unavailable, unknown), doubtful: true, lasting: true}
	case "502", "503", "504":
		return faultClass{codes: codes(unavailable), doubtful: true, passes: true, lasting: true}
	case "404 of a gateway", "redirect to another host", "redirect to another host as GET":
		return faultClass{codes: codes(unavailable, invalid, denied, unknown)}
	case "HTML sign-in page":
		return faultClass{codes: codes(unavailable, invalid, denied, unknown), doubtful: true}
	}
	return faultClass{codes: codes(unavailable, invalid, unknown), doubtful: true}
}

// codes are the right ones for this cell: what the request that was hit was for
// decides.
func (c *faultCell) codes(requests []netfault.Request) []providers.Code {
	if c.doubtful(requests) {
		return []providers.Code{providers.Ambiguous}
	}
	list := class(c.fault).codes
	if c.call.done != nil {
		// A call of several requests is in doubt when an earlier one of them is.
		list = append(slices.Clone(list), providers.Ambiguous)
	}
	return list
}

// doubtful reports whether a request that changes something was hit such that
// nobody knows whether it did.
func (c *faultCell) doubtful(requests []netfault.Request) bool {
	return class(c.fault).doubtful && slices.ContainsFunc(requests, func(r netfault.Request) bool {
		return r.Fault != "" && c.h.Changes(r)
	})
}
