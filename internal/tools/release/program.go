package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// module is the module that is released, and variables are what the linker
// tells it (internal/cli/version.go).
const (
	module          = "github.com/cofferhq/coffer"
	variableVersion = module + "/internal/cli.linkedVersion"
	variableCommit  = module + "/internal/cli.linkedCommit"
)

// program is the binary for one platform.
type program struct {
	platform
	path string
	info *debug.BuildInfo
}

// program builds for one platform and checks what came of it.
func (r *release) program(work string, p platform) (program, error) {
	r.say("building for %s", p)
	path, err := filepath.Abs(filepath.Join(work, p.String(), "coffer"))
	if err != nil {
		return program{}, err
	}
	cmd := exec.Command(r.goTool, "build", "-trimpath", "-buildvcs=false", "-tags", r.tags,
		"-ldflags", r.linkerFlags(p), "-o", path, ".")
	cmd.Dir = r.root
	cmd.Env = buildEnvironment(os.Environ(), p)
	cmd.Stdout, cmd.Stderr = r.progress, r.progress
	if err := cmd.Run(); err != nil {
		return program{}, fmt.Errorf("go build for %s: %w", p, err)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return program{}, err
	}
	if err := errors.Join(checkSettings(info, p, r.tags), checkStatic(path, p)); err != nil {
		return program{}, fmt.Errorf("the binary for %s: %w", p, err)
	}
	return program{p, path, info}, nil
}

// linkerFlags leaves out Go's build id. What takes its place on both systems
// (debuggers and macOS want one) comes from what is built, not from how.
func (r *release) linkerFlags(p platform) string {
	id := sha256.Sum256([]byte(module + "\n" + r.version + "\n" + r.commit + "\n" + p.String()))
	id[6] = id[6]&0x0f | 0x80 // a UUID of RFC 9562, version 8
	id[8] = id[8]&0x3f | 0x80
	flags := fmt.Sprintf("-s -w -buildid= -B 0x%x -X %s=%s", id[:16], variableCommit, r.commit)
	if r.version != "" {
		flags += " -X " + variableVersion + "=" + r.version
	}
	return flags
}

// buildEnvironment is that of the process without what would make another
// program of the same source. Empty is not enough: go env -w may have set it.
func buildEnvironment(env []string, p platform) []string {
	own := []string{
		"CGO_ENABLED=0", "GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOFIPS140=off",
	}
	ours := func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return name == "GOEXPERIMENT" || name == "GODEBUG" ||
			slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(o, name+"=") })
	}
	return append(slices.DeleteFunc(slices.Clone(env), ours), own...)
}

// checkSettings refuses a binary that was built otherwise than said, by a
// setting that nobody thought of.
func checkSettings(info *debug.BuildInfo, p platform, tags string) error {
	want := map[string]string{
		"-buildmode": "exe", "-compiler": "gc", "-trimpath": "true", "CGO_ENABLED": "0",
		"GOOS": p.os, "GOARCH": p.arch,
		"GO" + strings.ToUpper(p.arch): map[string]string{"amd64": "v1", "arm64": "v8.0"}[p.arch],
	}
	if tags != "" {
		want["-tags"] = tags
	}
	for _, s := range info.Settings {
		if w, ok := want[s.Key]; s.Key != "DefaultGODEBUG" && (!ok || w != s.Value) {
			return fmt.Errorf("was built with %s=%s; unset that", s.Key, s.Value)
		}
		delete(want, s.Key)
	}
	for key := range want {
		return fmt.Errorf("was built without %s", key)
	}
	if info.Main.Path != module {
		return fmt.Errorf("is of %s, not of %s", info.Main.Path, module)
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return fmt.Errorf("%s is replaced in go.mod: go install would build something else", m.Path)
		}
	}
	return nil
}

// checkStatic refuses a binary for Linux that needs a loader or a library.
func checkStatic(path string, p platform) error {
	if p.os != "linux" {
		return nil // every program for macOS needs its libSystem
	}
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP || prog.Type == elf.PT_DYNAMIC {
			return errors.New("is not static")
		}
	}
	return nil
}

// askVersion takes the program's word for its version where no tag said one,
// and holds it to what it was linked with where one did.
func (r *release) askVersion(path string) error {
	out, err := exec.Command(path, "version", "-json").Output()
	if err != nil {
		return fmt.Errorf("coffer version: %w", err)
	}
	var says struct{ Version, Revision string }
	if err := json.Unmarshal(out, &says); err != nil {
		return fmt.Errorf("coffer version: %w", err)
	}
	if says.Revision != r.commit || r.version != "" && says.Version != r.version {
		return fmt.Errorf("the program says that it is %s of %s, and was linked as %s of %s",
			says.Version, says.Revision, r.version, r.commit)
	}
	if !semantic.MatchString(says.Version) {
		return fmt.Errorf("the program says that it is %q, which is no version", says.Version)
	}
	r.version = says.Version
	return nil
}
