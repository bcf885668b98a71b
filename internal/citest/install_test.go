//go:build unix

package citest

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// install runs the script on a machine; the program belongs into dir.
func (m *machine) install(dir string, more map[string]string) (string, int) {
	m.t.Helper()
	env := map[string]string{"COFFER_VERSION": version, "COFFER_BIN": dir}
	for k, v := range more {
		env[k] = v
	}
	return m.run(m.home, env, absolute(m.t, "action/install.sh"))
}

// Each system gets its own archive, and what was installed runs.
func TestInstallPicksTheArchive(t *testing.T) {
	s := newSite(t)
	pin := s.publish(t)
	for names, system := range map[string]string{
		"Linux x86_64": "linux_amd64", "Linux aarch64": "linux_arm64", "Linux amd64": "linux_amd64",
		"Darwin arm64": "darwin_arm64", "Darwin x86_64": "darwin_amd64",
		"FreeBSD amd64": "", "MINGW64_NT-10.0 x86_64": "", "Linux riscv64": "", "Linux i686": "",
	} {
		m := newMachine(t, s)
		kernel, processor, _ := strings.Cut(names, " ")
		m.stub("uname", "case $1 in -s) echo "+kernel+" ;; -m) echo "+processor+" ;; esac")
		dir, paths := filepath.Join(m.home, "b in"), filepath.Join(m.home, "paths")
		said, code := m.install(dir, map[string]string{"COFFER_VERSION": "v" + version, "COFFER_SHA256": pin, "GITHUB_PATH": paths})
		asked := s.requests()
		if system == "" {
			if code == 0 || !strings.Contains(said, "there is no archive for") || len(asked) > 0 {
				t.Errorf("%s: exit code %d, %v\n%s", names, code, asked, said)
			}
			continue
		}
		want := []string{"GET /v" + version + "/" + sumsName, "GET /v" + version + "/" + archiveName(system)}
		if code != 0 || !slices.Equal(asked, want) {
			t.Errorf("%s: exit code %d, asked for %v\n%s", names, code, asked, said)
			continue
		}
		if out, code := m.run(m.home, nil, filepath.Join(dir, "coffer"), "version"); code != 0 || out != "coffer of the tests\n" || m.told("args") != "version" {
			t.Errorf("%s: what was installed says %q, exit code %d", names, out, code)
		}
		if got := read(t, paths); got != dir+"\n" {
			t.Errorf("%s: the path gets %q", names, got)
		}
		if left, _ := os.ReadDir(m.temp); len(left) > 0 {
			t.Errorf("%s: %v is left behind", names, left)
		}
	}
}

// What is not what it should be is refused, in words, and nothing is installed or
// kept.
func TestInstallRefuses(t *testing.T) {
	name := archiveName("linux_amd64")
	line := func(data []byte) string { return sum(data) + "  " + name + "\n" }
	whole := archive(t)
	for what, c := range map[string]struct {
		spoil func(s *site)
		env   map[string]string
		says  string
		asks  int
	}{
		"a changed archive":           {func(s *site) { s.put(name, append(slices.Clone(whole), 0)) }, nil, "it was changed on the way", 2},
		"half an archive":             {func(s *site) { s.put(name, whole[:len(whole)/2]) }, nil, "Nothing was installed", 2},
		"another list":                {nil, map[string]string{"COFFER_SHA256": sum([]byte("another"))}, "and sha256 demands " + sum([]byte("another")), 1},
		"no release":                  {nil, map[string]string{"COFFER_VERSION": "9.9.9"}, "is 9.9.9 a release", 1},
		"no archive":                  {func(s *site) { s.remove(name) }, nil, "there is no " + "https://", 2},
		"a server that refuses":       {func(s *site) { s.put(name, []byte("status 403")) }, nil, "HTTP status 403", 2},
		"a list without it":           {func(s *site) { s.put(sumsName, []byte(sum(whole)+"  another.tar.gz\n")) }, nil, "does not have one sum for " + name, 1},
		"a list with two":             {func(s *site) { s.put(sumsName, []byte(line(whole)+line([]byte("x")))) }, nil, "does not have one sum for " + name, 1},
		"a sum that is none":          {func(s *site) { s.put(sumsName, []byte("abc  "+name+"\n")) }, nil, "does not have one sum for " + name, 1},
		"an empty list":               {func(s *site) { s.put(sumsName, nil) }, nil, "does not have one sum for " + name, 1},
		"a page in place of the list": {func(s *site) { s.put(sumsName, []byte("<html>\n")) }, nil, "does not have one sum for " + name, 1},
		"an archive without coffer":   {func(s *site) { s.publish(t, tar.Header{Name: "README.md", Mode: 0o644}) }, nil, "holds no program", 2},
		"a link in place of coffer": {func(s *site) {
			s.publish(t, tar.Header{Name: "coffer", Typeflag: tar.TypeSymlink, Linkname: "/bin/sh"})
		}, nil, "is not a file", 2},
		"a folder in place of coffer": {func(s *site) { s.publish(t, tar.Header{Name: "coffer/", Typeflag: tar.TypeDir, Mode: 0o755}) }, nil, "not", 2},
		"no archive at all":           {func(s *site) { s.put(name, []byte("text")); s.put(sumsName, []byte(line([]byte("text")))) }, nil, "holds no program", 2},
		"a redirect out of TLS": {func(s *site) {
			s.put(name, []byte("redirect "+s.plain.URL+"/v"+version+"/"+archiveName("linux_arm64")))
		}, nil, "cannot be fetched", 2},
		"releases without TLS":  {nil, map[string]string{"COFFER_RELEASES": "without TLS"}, "cannot be fetched", 0},
		"no version":            {nil, map[string]string{"COFFER_VERSION": ""}, "set the version", 0},
		"the latest":            {nil, map[string]string{"COFFER_VERSION": "latest"}, "there is no 'latest'", 0},
		"a command as version":  {nil, map[string]string{"COFFER_VERSION": "0.1.0; touch owned"}, "a character that no version has", 0},
		"a command in brackets": {nil, map[string]string{"COFFER_VERSION": "0.1.0$(touch owned)"}, "a character that no version has", 0},
		"two lines":             {nil, map[string]string{"COFFER_VERSION": "0.1.0\n::add-path::x"}, "a character that no version has", 0},
		"a way up":              {nil, map[string]string{"COFFER_VERSION": "0.1.0/../../x"}, "a character that no version has", 0},
		"half a sum":            {nil, map[string]string{"COFFER_SHA256": "abc"}, "it has 3 characters", 0},
		"a sum in capitals":     {nil, map[string]string{"COFFER_SHA256": strings.Repeat("A", 64)}, "small letters", 0},
		"nowhere to put it":     {nil, map[string]string{"COFFER_BIN": ""}, "COFFER_BIN is not set", 0},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			s.publish(t)
			if c.spoil != nil {
				c.spoil(s)
			}
			m := newMachine(t, s)
			dir, cache := filepath.Join(m.home, "bin"), filepath.Join(m.home, "cache")
			env := map[string]string{"COFFER_CACHE": cache, "GITHUB_ACTIONS": "true"}
			for k, v := range c.env {
				env[k] = v
			}
			if env["COFFER_RELEASES"] != "" {
				env["COFFER_RELEASES"] = s.plain.URL
			}
			said, code := m.install(dir, env)
			if code != 1 || !strings.Contains(said, c.says) || !strings.Contains(said, "::error title=install coffer::") {
				t.Errorf("exit code %d, want 1 and %q:\n%s", code, c.says, said)
			}
			if asked := s.requests(); len(asked) != c.asks {
				t.Errorf("asked for %v, want %d", asked, c.asks)
			}
			for _, path := range []string{filepath.Join(dir, "coffer"), cache, filepath.Join(m.home, "owned")} {
				if _, err := os.Lstat(path); err == nil {
					t.Errorf("%s exists", path)
				}
			}
			if left, _ := os.ReadDir(m.temp); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

// An archive is kept for the next run, which trusts it no more than one that it
// fetches.
func TestInstallKeepsArchives(t *testing.T) {
	s := newSite(t)
	pin := s.publish(t)
	m := newMachine(t, s)
	tools := filepath.Join(m.home, "tools")
	env := map[string]string{"COFFER_SHA256": pin, "RUNNER_TEMP": m.home, "RUNNER_TOOL_CACHE": tools, "COFFER_BIN": ""}
	kept := filepath.Join(tools, "coffer", archiveName("linux_amd64"))
	run := func(when string, asks int, more map[string]string) {
		t.Helper()
		for k, v := range env {
			if _, ok := more[k]; !ok {
				if more == nil {
					more = map[string]string{}
				}
				more[k] = v
			}
		}
		said, code := m.install("", more)
		if asked := s.requests(); code != 0 || len(asked) != asks {
			t.Errorf("%s: exit code %d, asked for %v\n%s", when, code, asked, said)
		}
		if out, _ := m.run(m.home, nil, filepath.Join(m.home, "coffer-bin/coffer")); out != "coffer of the tests\n" {
			t.Errorf("%s: what is installed says %q", when, out)
		}
	}
	run("the first time", 2, nil)
	run("again", 0, nil)
	run("again without a pin: the list is asked for", 1, map[string]string{"COFFER_SHA256": ""})
	must(t, os.WriteFile(kept, []byte("poison"), 0o644))
	run("after somebody wrote into the cache", 1, nil)
	must(t, os.WriteFile(filepath.Join(tools, "coffer", sumsName), []byte("poison"), 0o644))
	run("after somebody wrote into the list", 1, nil)
	run("a folder that cannot be made is no cache", 2, map[string]string{"COFFER_CACHE": filepath.Join(kept, "x")})
	entries, err := os.ReadDir(filepath.Join(tools, "coffer"))
	if err != nil || len(entries) != 2 {
		t.Errorf("the cache has %v: %v", entries, err)
	}
	must(t, os.WriteFile(kept, []byte("poison"), 0o644))
	s.Close()
	if said, code := m.install("", env); code != 1 || !strings.Contains(said, "cannot be fetched") {
		t.Errorf("poison and no server: exit code %d\n%s", code, said)
	}
}

// A system has sha256sum or shasum, and either is enough.
func TestInstallWithEitherSum(t *testing.T) {
	s := newSite(t)
	pin := s.publish(t)
	args := ""
	path, err := exec.LookPath("sha256sum")
	if err != nil {
		path, err = exec.LookPath("shasum")
		args = " -a 256"
	}
	must(t, err)
	for name, body := range map[string]string{
		"sha256sum": "[ $# -eq 0 ] || exit 9\nexec " + path + args,
		"shasum":    "[ \"$*\" = '-a 256' ] || exit 9\nexec " + path + args,
	} {
		m := newMachine(t, s)
		m.stub(name, body)
		for _, tool := range []string{"sh", "env", "dirname", "mktemp", "curl", "awk", "cut", "tar", "gzip", "cp", "mv", "rm", "mkdir", "chmod", "cat"} {
			if path, err := exec.LookPath(tool); err == nil {
				must(t, os.Symlink(path, filepath.Join(m.bin, tool)))
			}
		}
		dir := filepath.Join(m.home, "bin")
		said, code := m.install(dir, map[string]string{"PATH": m.bin, "COFFER_SHA256": pin})
		data, _ := os.ReadFile(filepath.Join(dir, "coffer"))
		if code != 0 || !bytes.Equal(data, []byte(program)) {
			t.Errorf("with %s: exit code %d\n%s", name, code, said)
		}
	}
}
