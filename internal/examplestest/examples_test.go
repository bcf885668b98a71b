//go:build unix

package examplestest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every example has a page, a configuration that is valid and formatted, and a
// script that runs to its end. It leaves nothing behind: neither in the
// example, nor at home, nor among the temporary files.
func TestExamplesRun(t *testing.T) {
	index, err := os.ReadFile("../../docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range exampleNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.Abs(filepath.Join(examples, name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
				t.Error(err)
			}
			if !strings.Contains(string(index), "../examples/"+name+")") {
				t.Errorf("docs/README.md does not link to examples/%s", name)
			}
			p := newPlace(t)
			p.coffer(dir, nil, "validate")
			p.coffer(dir, nil, "fmt", "-check")
			if slices.Contains(onServers, name) {
				return // its script runs where the server is started, in servers_test.go
			}
			before := filesBelow(t, dir)
			p.run(dir, nil, "bash", filepath.Join(dir, "run.sh"))
			if after := filesBelow(t, dir); !slices.Equal(before, after) {
				t.Errorf("run.sh changed the example: %v, before %v", after, before)
			}
			for _, left := range append(filesBelow(t, p.home), filesBelow(t, p.tmp)...) {
				if !strings.Contains(left, "/go/telemetry/") { // of the go tool
					t.Errorf("run.sh left %s behind", left)
				}
			}
		})
	}
}

// onServers are the examples whose script needs a server.
var onServers = []string{"checkout-kubernetes", "checkout-vault"}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
