//go:build servers

package azblob

import (
	"testing"

	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

func BenchmarkLargeState(b *testing.B) {
	s := servers.Azurite(b)
	makeContainer(b, onAzurite(b, s, s.URL))
	statetest.Bench(b, onAzurite(b, s, s.URL))
}
