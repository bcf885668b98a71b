package providers

import "context"

// Watermarker is what a driver implements whose platform has room for a number
// beside the secrets: the highest serial of a state that was seen. A state that
// is older is one that somebody put back. The key names the state: the project,
// and which of its places.
type Watermarker interface {
	// Watermark returns the number kept for a key, 0 where there is none.
	Watermark(ctx context.Context, key string) (uint64, error)
	// SetWatermark keeps it. It is no secret and needs no precondition: a lower
	// number only makes the next check weaker.
	SetWatermark(ctx context.Context, key string, serial uint64) error
}

// KeepsWatermarks reports whether the platform has room for one.
func (p *Provider) KeepsWatermarks() bool { return p.powers.Watermarker != nil }

// Watermark returns the highest serial that is kept for a key; 0 where
// there is none or KeepsWatermarks is false.
func (p *Provider) Watermark(ctx context.Context, key string) (serial uint64, err error) {
	if p.powers.Watermarker == nil {
		return 0, nil
	}
	err = p.do(ctx, call{op: "inspect", path: key, pure: true}, func(ctx context.Context) (err error) {
		serial, err = p.powers.Watermarker.Watermark(ctx, key)
		return err
	})
	return serial, err
}

// SetWatermark keeps the highest serial of a state.
func (p *Provider) SetWatermark(ctx context.Context, key string, serial uint64) error {
	c := call{op: "set_watermark", path: key, pure: true}
	if p.powers.Watermarker == nil {
		return p.unsupported(c, "the platform has no room for it")
	}
	return p.do(ctx, c, func(ctx context.Context) error {
		return p.powers.Watermarker.SetWatermark(ctx, key, serial)
	})
}
