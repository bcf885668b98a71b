//go:build servers

package s3_test

import (
	"testing"

	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

func TestFaults(t *testing.T) {
	env, c := surroundings(t), compatible(t, false)
	statetest.Faults(t, statetest.FaultHarness{
		Proxy: netfault.New(t, c.Endpoint, netfault.Options{}), Direct: c.Endpoint, Hidden: []string{"aSecretKeyOfTests"},
		Open: func(_ testing.TB, address string) remote.Blobs {
			at := c
			at.Endpoint, at.AllowHTTP = address, true
			return open(t, at, env)
		},
	})
}
