package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/sops"
)

// thousand is a project of 1,000 secrets in ten files.
type thousand struct {
	dir     string
	environ Environ
	renames atomic.Int64  // of sops files
	renamed func(n int64) // when not nil, called after the nth
}

func newThousand(tb testing.TB) *thousand {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		tb.Fatal(err)
	}
	p := &thousand{dir: tb.TempDir()}
	var hcl strings.Builder
	fmt.Fprintf(&hcl, "coffer { project = \"thousand-1\" }\nprovider \"sops\" {\n  path = \"secrets\"\n  recipients = [%q]\n}\nenvironment \"dev\" { store = sops }\n", id.Recipient())
	for app := range 10 {
		fmt.Fprintf(&hcl, "app \"app%d\" {\n  environments = [\"dev\"]\n", app)
		for s := range 100 {
			fmt.Fprintf(&hcl, "  secret \"s%d\" { value = random_hex() }\n", s)
		}
		hcl.WriteString("}\n")
	}
	if err := os.WriteFile(filepath.Join(p.dir, "coffer.hcl"), []byte(hcl.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	at := func(point string) error {
		if point == durable.After(durable.StepRename) {
			n := p.renames.Add(1)
			if p.renamed != nil {
				p.renamed(n)
			}
		}
		return nil
	}
	p.environ = Environ{
		Vars: map[string]string{"SOPS_AGE_KEY": id.String(), "HOME": p.dir}, Now: time.Now, Random: rand.Reader,
		Seams: Seams{Registry: providers.NewRegistry(sops.FactoryWith(sops.Options{At: at}))},
	}
	return p
}

func (p *thousand) run(tb testing.TB, args ...string) string {
	tb.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"coffer", "-chdir", p.dir}, args...)
	if code := Main(context.Background(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, p.environ); code != ExitDone {
		tb.Fatalf("%v ends with %d:\n%s", args, code, errs.String())
	}
	return out.String()
}

// TestApplyWritesEachFileOnce: 1,000 new secrets in ten files are ten writes.
func TestApplyWritesEachFileOnce(t *testing.T) {
	p := newThousand(t)
	p.run(t, "apply", "-auto-approve")
	if n := p.renames.Load(); n != 10 {
		t.Errorf("%d files were replaced, want 10", n)
	}
	if out := p.run(t, "plan", "-detailed-exitcode"); !strings.Contains(out, "1000 secrets unchanged") {
		t.Errorf("plan says:\n%s", out)
	}
}

// BenchmarkPlanThousandSops is the whole command: configuration, state, ten
// files, plan, output.
func BenchmarkPlanThousandSops(b *testing.B) {
	p := newThousand(b)
	p.run(b, "apply", "-auto-approve")
	for b.Loop() {
		p.run(b, "plan")
	}
}

// BenchmarkApplyThousandSops creates the 1,000 secrets.
func BenchmarkApplyThousandSops(b *testing.B) {
	for b.Loop() {
		newThousand(b).run(b, "apply", "-auto-approve")
	}
}
