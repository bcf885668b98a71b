//go:build servers

package plannertest

import "testing"

// TestVaultIsAnotherAfterThePlan: a server that took the place of the one that
// was planned against, while a person read the plan, gets no change.
func TestVaultIsAnotherAfterThePlan(t *testing.T) {
	s := newTwoServers(t)
	v := vaultWorld(t, s.first, s.mount, &prefixes{})
	v.address = s.address
	v.Configure(fleet(fleetSize / 2))
	v.Apply()
	v.Configure(fleet(fleetSize))
	l := v.Look()
	s.point(t, s.second)
	result, err := v.Applier(l).Apply(t.Context(), l.Plan)
	if n := s.changes.Load(); n > 0 {
		t.Errorf("another server after the plan got %d changes: %v, %s", n, err, said(result))
	}
}
