//go:build servers

package kubernetes

import (
	"testing"

	"github.com/cofferhq/coffer/state/statetest"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

func BenchmarkLargeState(b *testing.B) {
	r := &real{Cluster: servers.Kube(b)}
	namespace := r.namespace()
	statetest.Bench(b, r.as(b, namespace, r.AdminToken)())
}
