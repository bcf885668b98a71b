package vault

import (
	"context"

	"github.com/cofferhq/coffer/providers"
)

// concurrency is how many requests run at once: beyond it a server on two
// processors gets slower, not faster.
const concurrency = 16

// maxBytes is the largest value. Raft refuses entries over 1 MiB and Consul
// those over 512 KiB, and a value grows on its way into one.
const maxBytes = 256 << 10

// Capabilities implements [providers.Driver]. Whether the mount is KV version 1
// is not asked: the provider block says so.
func (d *Driver) Capabilities() providers.Capabilities {
	c := providers.Capabilities{ValueBlind: true, MaxBytes: maxBytes, Concurrency: concurrency}
	if !d.config.AllowValueRead {
		c.Versioned, c.ConditionalWrite, c.SoftDelete = true, true, true
	}
	c.Shared, c.Versionless = d.config.AllowValueRead, d.config.AllowValueRead
	return c
}

// Powers implements [providers.Powered]: KV version 1 has no versions, no
// marks and no undelete.
func (d *Driver) Powers() providers.Powers {
	p := providers.Powers{
		Lister: d, Placer: d, Incarnator: d, Leaser: d, Closer: d, ObjectDriver: d, AccessCompiler: d, Declarer: d, AccessAuditor: d,
		Permitter: d, Examiner: d, ObjectScoper: d, Cryptor: d, Watermarker: d, Exporter: d,
	}
	if d.config.AllowValueRead {
		return p
	}
	p.Patcher, p.Attributer, p.Restorer, p.Purger, p.Predictor, p.Prober, p.Dater = d, d, d, d, d, d, d
	return p
}

// Lease implements [providers.Leaser].
func (d *Driver) Lease(ctx context.Context) (providers.Lease, error) {
	return d.client.session.Lease(ctx)
}

// Close ends the token if this run made it.
func (d *Driver) Close(ctx context.Context) error { return d.client.session.Close(ctx) }
