//go:build servers

package azblob

import (
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers/providertest/netfault"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

func TestFaults(t *testing.T) {
	s := servers.Azurite(t)
	makeContainer(t, onAzurite(t, s, s.URL))
	host := strings.TrimSuffix(s.URL, "/"+s.Account)
	statetest.Faults(t, statetest.FaultHarness{
		Proxy: netfault.New(t, host, netfault.Options{}), Direct: host, NoNames: true, Hidden: []string{s.Key},
		Open: func(t testing.TB, address string) remote.Blobs { return onAzurite(t, s, address+"/"+s.Account) },
	})
}
