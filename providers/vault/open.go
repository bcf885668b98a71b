package vault

import (
	"github.com/cofferhq/coffer/providers"
)

// Open makes the driver of one provider block. It makes no call.
func Open(env providers.Env, config *Config) (*Driver, error) {
	return nil, nil
}
