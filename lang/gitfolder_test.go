package lang

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkoutWithToken makes a checkout that has its credential where actions leave
// it, with the configuration in dir/sub, and links as a change could bring them.
func checkoutWithToken(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, folder := range []string{".git/hooks", "sub/.git/hooks", "sub/plain"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(folder)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".git/config", "sub/.git/config"} {
		write(t, dir, name, "extraheader = AUTHORIZATION: basic TOKEN\n")
	}
	write(t, dir, "sub/.gitignore", "*.plan\n")
	write(t, dir, "sub/plain/x.git", "text")
	for link, target := range map[string]string{
		"sub/file": ".git/config", "sub/chain": "file", "sub/folder": ".git", "sub/hooks": ".git/hooks", "sub/fine": "plain/x.git",
		"up.vars": ".git/config",
	} {
		if err := os.Symlink(filepath.FromSlash(target), filepath.Join(dir, filepath.FromSlash(link))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A repository's own folder has the credential of a checkout, so no file in it is
// read, whatever way leads there.
func TestGitFolderIsNotRead(t *testing.T) {
	dir := filepath.Join(checkoutWithToken(t), "sub")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, path := range []string{
		".git/config", ".GIT/config", "./plain/../.git/config", "file", "chain", "folder/config",
		"hooks/../config", "folder/nothing", ".git/nothing", "plain/.git/config",
	} {
		for _, name := range []string{"file", "filebase64", "fileexists"} {
			got, err := call(t, root, fmt.Sprintf("%s(%q)", name, path))
			if err == nil || !strings.Contains(err.Error(), "a repository's own folder holds credentials and is never read") {
				t.Errorf("%s(%q) = %#v, %v", name, path, got, err)
			}
		}
	}
	for _, path := range []string{".gitignore", "plain/x.git", "fine"} {
		if _, err := call(t, root, fmt.Sprintf("file(%q)", path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestGitFolderIsNoConfiguration(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(dir string) error
		vars    string
		want    string
	}{
		"link":              {func(dir string) error { return os.Symlink(".git/config", filepath.Join(dir, "evil.hcl")) }, "", "evil.hcl"},
		"link of a link":    {func(dir string) error { return os.Symlink("chain", filepath.Join(dir, "evil.hcl")) }, "", "evil.hcl"},
		"link in a folder":  {func(dir string) error { return os.Symlink("hooks/../config", filepath.Join(dir, "evil.hcl")) }, "", "evil.hcl"},
		"variables":         {nil, ".git/config", "-var-file"},
		"variables by link": {nil, "file", "-var-file"},
		"variables above":   {nil, "../up.vars", "-var-file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(checkoutWithToken(t), "sub")
			write(t, dir, "coffer.hcl", bombHead)
			if test.prepare != nil {
				if err := test.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			o := Options{ProviderTypes: []string{"sops"}}
			if test.vars != "" {
				o.VarFiles = []string{filepath.Join(dir, filepath.FromSlash(test.vars))}
			}
			cfg, diags := Load(dir, o)
			if len(diags) != 1 || !strings.HasPrefix(diags[0].Detail, test.want) || !strings.Contains(diags[0].Detail, "never read") {
				t.Errorf("got %v", diags)
			}
			if cfg == nil {
				return
			}
			for name, file := range cfg.Files {
				if strings.Contains(string(file.Bytes), "TOKEN") {
					t.Errorf("%s was read", name)
				}
			}
		})
	}
}

// A work tree may lie below a .git; what it has of its own is read.
func TestWorkTreeBelowGitFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".git", "trees", "a")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "coffer.hcl", bombHead)
	write(t, dir, "my.vars", "")
	if _, diags := Load(dir, Options{ProviderTypes: []string{"sops"}, VarFiles: []string{filepath.Join(dir, "my.vars")}}); len(diags) != 0 {
		t.Error(diags)
	}
}

func TestGitFolderIsNotCompared(t *testing.T) {
	dir := checkoutWithToken(t)
	diags := CompareNamed(t.TempDir(), filepath.Join(dir, "sub"), "KUBECONFIG", "file")
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "never read") {
		t.Errorf("got %v", diags)
	}
}
