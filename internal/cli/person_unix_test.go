//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBrowserIsGivenNoSecret: what opens a browser sees the page and what a
// browser needs, and nothing else that is in our environment.
func TestBrowserIsGivenNoSecret(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "seen")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n{ echo \"page=$1\"; /usr/bin/env; } > '" + pipe + "'\n"
	for _, name := range []string{"xdg-open", "open"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("VAULT_TOKEN", "hvs.canary") // of the process, which nobody may pass on
	passed := map[string]string{
		"PATH": dir, "HOME": "/home/alice", "DISPLAY": ":0", "XDG_RUNTIME_DIR": "/run/user/1000", "LC_ALL": "C", "BROWSER": "firefox",
	}
	vars := map[string]string{
		"VAULT_TOKEN": "hvs.canary", "SMTP_PASSWORD": "canary", "SOPS_AGE_KEY": "canary", "COFFER_FINGERPRINT_KEY": "canary",
		"COFFER_VAR_x": "canary", "AWS_SECRET_ACCESS_KEY": "canary", "PATHS": "canary", "XDGX": "canary",
	}
	for name, value := range passed {
		vars[name] = value
	}
	inv := &invocation{Environ: Environ{Vars: vars}}
	if err := inv.openBrowser("https://idp.example/authorize?x=1"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(readPipe(t, pipe)), "\n")
	if lines[0] != "page=https://idp.example/authorize?x=1" {
		t.Errorf("the page is %q", lines[0])
	}
	own := []string{"PWD", "OLDPWD", "SHLVL", "_"} // of the shell itself
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, "=")
		if passed[name] != value && !slices.Contains(own, name) {
			t.Errorf("the browser is given %s", line)
		}
		delete(passed, name)
	}
	if len(passed) > 0 {
		t.Errorf("the browser is not given %v", passed)
	}
	if env := browserEnv(map[string]string{"VAULT_TOKEN": "x"}, "linux"); env == nil || len(env) > 0 {
		t.Errorf("of nothing that it needs, the browser is given %#v", env) // nil is everything
	}
	windows := browserEnv(map[string]string{"Path": "a", "SystemRoot": "b", "ProgramFiles(x86)": "c", "VAULT_TOKEN": "x", "home": "x"}, "windows")
	if want := []string{"Path=a", "ProgramFiles(x86)=c", "SystemRoot=b"}; !slices.Equal(windows, want) {
		t.Errorf("on Windows the browser is given %q, want %q", windows, want)
	}
}

// readPipe returns all that is written into a pipe.
func readPipe(t *testing.T, path string) string {
	t.Helper()
	read := make(chan string, 1)
	go func() {
		data, _ := os.ReadFile(path) // ends when the writer does
		read <- string(data)
	}()
	select {
	case text := <-read:
		return text
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was started")
		return ""
	}
}
