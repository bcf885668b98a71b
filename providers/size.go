package providers

import "github.com/cofferhq/coffer/providers/secret"

// checkSize returns why v cannot be stored: MaxBytes counts a single value, or
// the names and values of all fields.
func (p *Provider) checkSize(v secret.Value) error {
	limit := p.caps.MaxBytes
	if limit <= 0 || sizeOf(v) <= limit {
		return nil
	}
	return Errorf(Invalid, "the value is larger than the %d bytes that one secret can hold here", limit).
		WithHint("split it, or keep it on another store")
}

func sizeOf(v secret.Value) int {
	if !v.IsObject() {
		n := 0
		_ = v.Expose(func(b []byte) error {
			n = len(b)
			return nil
		})
		return n
	}
	n := 0
	for _, name := range v.Names() {
		field, _ := v.Field(name)
		n += len(name) + sizeOf(field)
	}
	return n
}
