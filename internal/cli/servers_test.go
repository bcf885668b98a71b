//go:build servers

package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestServerScripts runs the scripts that need the real sops tool, which they
// find on their path.
func TestServerScripts(t *testing.T) {
	tool := os.Getenv("COFFER_TEST_SOPS")
	if tool == "" {
		t.Fatal("COFFER_TEST_SOPS names no sops binary; `make test-servers` builds one")
	}
	runScripts(t, "testdata/servers", func(env *testscript.Env) error {
		bin := filepath.Join(env.WorkDir, "bin")
		if err := os.Mkdir(bin, 0o700); err != nil {
			return err
		}
		env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
		return os.Symlink(tool, filepath.Join(bin, "sops"))
	})
}
