package lang

import (
	"fmt"
	"strings"
	"testing"
)

// largeConfig writes n secrets over ten apps.
func largeConfig(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, "coffer.hcl", bombHead)
	for a := range 10 {
		var b strings.Builder
		fmt.Fprintf(&b, "app \"app%d\" {\n", a)
		for i := range n / 10 {
			fmt.Fprintf(&b, "  secret \"s%d\" {\n    value = random_password({ length = 32 })\n  }\n", i)
		}
		write(t, dir, fmt.Sprintf("app%d.hcl", a), b.String()+"}\n")
	}
	return dir
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := largeConfig(b, n)
			b.ReportAllocs()
			for b.Loop() {
				cfg, diags := Load(dir, Options{ProviderTypes: []string{"sops"}})
				if diags.HasErrors() || len(cfg.Secrets) != n {
					b.Fatal(diags)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/secret")
		})
	}
}

// The work grows with the number of secrets, not with its square: allocations
// tell, whatever else the machine does.
func TestLoadIsLinear(t *testing.T) {
	perSecret := func(n int) float64 {
		dir := largeConfig(t, n)
		return testing.AllocsPerRun(1, func() {
			if _, diags := Load(dir, Options{ProviderTypes: []string{"sops"}}); diags.HasErrors() {
				t.Fatal(diags)
			}
		}) / float64(n)
	}
	small, large := perSecret(500), perSecret(5_000)
	if large > 1.2*small {
		t.Errorf("%.0f allocations a secret for 5,000, %.0f for 500", large, small)
	}
}
