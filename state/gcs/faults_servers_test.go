//go:build servers

package gcs_test

import (
	"testing"

	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

func TestFaults(t *testing.T) {
	e := start(t)
	c := e.state(t, false)
	statetest.Faults(t, statetest.FaultHarness{
		Proxy: netfault.New(t, e.address, netfault.Options{}), Direct: e.address, NoNames: true,
		Open: func(_ testing.TB, address string) remote.Blobs {
			return open(t, c, environment("STORAGE_EMULATOR_HOST="+address))
		},
	})
}
