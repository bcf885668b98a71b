package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
)

// What could not be posted is an error, and it says what was done all the same.
func TestUnpostedSaysWhatWasDone(t *testing.T) {
	broken := errors.New("something else")
	for _, test := range []struct {
		job    string
		digest string
		commit *ciCommitted
		err    error
		want   string
	}{
		{"plan", "sha256:1", nil, nil, "the plan was made and saved; the comment could not be posted: 503"},
		{"plan", "sha256:1", nil, outcome(ExitChanges), "the plan was made and saved; the comment could not be posted: 503"},
		{"plan", "", nil, outcome(ExitError), "the comment could not be posted: 503"},
		{"plan", "sha256:1", nil, broken, "the comment could not be posted: 503"},
		{"apply", "sha256:1", &ciCommitted{Pushed: true}, nil, "everything was applied and pushed; the comment could not be posted: 503"},
		{"apply", "sha256:1", nil, nil, "everything was applied; the comment could not be posted: 503"},
		{"apply", "sha256:1", &ciCommitted{Pushed: true}, outcome(ExitError), "the comment could not be posted: 503"},
		{"apply", "sha256:1", &ciCommitted{}, broken, "the comment could not be posted: 503"},
		{"drift", "", nil, outcome(ExitChanges), "the drift was reported; the issue could not be posted: 503"},
		{"drift", "", nil, broken, "the issue could not be posted: 503"},
	} {
		j := &ciJob{name: test.job, doc: ciDocument{Digest: test.digest, Commit: test.commit}}
		if err := j.unposted(test.err); err != nil {
			t.Errorf("nothing failed: %v", err)
		}
		j.failed = errors.New("503")
		if got := j.unposted(test.err).Error(); got != test.want {
			t.Errorf("%s with %v: got %q", test.job, test.err, got)
		}
	}
}

// Values are not taken from the folder that has a checkout's credential.
func TestSupplyRefusesGitFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git", "config"), []byte("A=TOKEN\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".git/config", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []lang.SourceKind{lang.FromFile, lang.FromDotenv, lang.FromSops} {
		for _, name := range []string{".git/config", "link"} {
			_, found, err := inputs{dir: dir}.Supply(&lang.Source{Kind: kind, Plain: name, Key: "A"})
			if found || err == nil || !strings.Contains(err.Error(), "never read") {
				t.Errorf("kind %d, %s: found %v, %v", kind, name, found, err)
			}
		}
	}
}
