package main

import (
	"bytes"
	"crypto/sha256"
	"debug/macho"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sassoftware/go-rpmutils"
)

const (
	testCommit = "0123456789abcdef0123456789abcdef01234567"
	testEpoch  = 1700000000
)

// releaseOf runs release on a tree and returns what it wrote.
func releaseOf(t *testing.T, root, out string, args ...string) map[string][]byte {
	t.Helper()
	var sums, progress bytes.Buffer
	args = append([]string{"-root", root, "-out", out, "-commit", testCommit, "-epoch", fmt.Sprint(testEpoch)}, args...)
	if err := run(args, &sums, &progress); err != nil {
		t.Fatalf("release %s: %v\n%s", strings.Join(args, " "), err, progress.String())
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(out, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = data
	}
	if _, err := os.Stat(out + ".new"); !os.IsNotExist(err) {
		t.Errorf("the staging folder is left: %v", err)
	}
	for name, data := range files {
		if strings.HasSuffix(name, "_checksums.txt") && string(data) != sums.String() {
			t.Errorf("release prints %s", sums.String())
		}
	}
	return files
}

// TestRelease builds a release of a stand-in twice, in two places and under two
// environments, and reads every file of it back.
func TestRelease(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "a", "longer path")
	writeStub(t, one)
	writeStub(t, two)
	first := releaseOf(t, one, filepath.Join(one, "out"), "-version", "1.2.3-rc.1")
	t.Setenv("TZ", "Asia/Kathmandu")
	t.Setenv("LANG", "tr_TR.UTF-8")
	t.Setenv("GOFLAGS", "-buildvcs=true")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GODEBUG", "http2client=0")
	out := filepath.Join(two, "deep", "er", "out")
	if err := os.MkdirAll(out, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "coffer_1.0.0_linux_amd64.tar.gz"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second := releaseOf(t, two, out, "-version", "v1.2.3-rc.1")

	var want []string
	for _, name := range []string{
		"checksums.txt", "darwin_amd64.tar.gz", "darwin_arm64.tar.gz", "linux_amd64.deb", "linux_amd64.rpm", "linux_amd64.tar.gz",
		"linux_arm64.deb", "linux_arm64.rpm", "linux_arm64.tar.gz", "oci.tar", "sbom.spdx.json",
	} {
		want = append(want, "coffer_1.2.3-rc.1_"+name)
	}
	if have := slices.Sorted(maps.Keys(first)); !slices.Equal(have, want) {
		t.Fatalf("the files are\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(slices.Sorted(maps.Keys(second)), want) {
		t.Error("what an earlier run left is still there")
	}
	for name, data := range first {
		if !bytes.Equal(data, second[name]) {
			t.Errorf("%s is not the same the second time", name)
		}
		if bytes.Contains(data, []byte(one)) {
			t.Errorf("%s holds the path of the build", name)
		}
	}
	at := func(rest string) []byte { return first["coffer_1.2.3-rc.1_"+rest] }
	checkSums(t, first, string(at("checksums.txt")))
	for _, arch := range []string{"amd64", "arm64"} {
		for _, goos := range []string{"linux", "darwin"} {
			checkArchive(t, at(goos+"_"+arch+".tar.gz"))
		}
		checkDeb(t, at("linux_"+arch+".deb"), arch)
		checkRPM(t, at("linux_"+arch+".rpm"), map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch])
		checkUUID(t, at("darwin_"+arch+".tar.gz"))
	}
	binary := checkImages(t, at("oci.tar"), "1.2.3-rc.1")
	if files, _ := untar(t, gunzip(t, at("linux_"+runtime.GOARCH+".tar.gz"))); !bytes.Equal(files["coffer"].data, binary) {
		t.Error("the image and the archive have two different programs")
	}
	own, _ := untar(t, gunzip(t, at(runtime.GOOS+"_"+runtime.GOARCH+".tar.gz"))) // on Linux that of the image
	if says := runBinary(t, own["coffer"].data, "version", "-json"); !strings.Contains(says, `"1.2.3-rc.1"`) || !strings.Contains(says, testCommit) {
		t.Errorf("coffer version says %s", says)
	}
	checkSPDX(t, at("sbom.spdx.json"))
}

// Without a tag and with changes in the tree the program itself says its version.
func TestReleaseWithoutVersion(t *testing.T) {
	dir := t.TempDir()
	writeStub(t, dir)
	out := filepath.Join(dir, "out")
	var progress bytes.Buffer
	args := []string{
		"-root", dir, "-out", out, "-epoch", "1", "-commit", "abc", "-version", "", "-platforms", "linux/" + runtime.GOARCH,
	}
	if err := run(args, io.Discard, &progress); err == nil || !strings.Contains(err.Error(), "give VERSION") {
		t.Errorf("outside of git: %v", err)
	}
	repo := repository{t, dir}
	repo.git("init", "-q")
	repo.git("add", ".")
	repo.commit("one")
	files := releaseOf(t, dir, out, "-platforms", "linux/"+runtime.GOARCH)
	for _, rest := range []string{"linux_" + runtime.GOARCH + ".deb", "oci.tar"} {
		if len(files["coffer_0.1.0-dev+"+testCommit+"_"+rest]) == 0 {
			t.Errorf("%s is not among %v", rest, slices.Sorted(maps.Keys(files)))
		}
	}
	control, _, _ := debOf(t, files["coffer_0.1.0-dev+"+testCommit+"_linux_"+runtime.GOARCH+".deb"])
	if !strings.Contains(control, "\nVersion: 0.1.0~dev+"+testCommit+"\n") {
		t.Errorf("a forerunner is not before the release in the package:\n%s", control)
	}
	for _, args := range [][]string{{"-platforms", "linux/386"}, {"-platforms", "linux"}, {"now"}, {"-epoch", "yesterday"}} {
		if err := run(append(args, "-root", dir, "-out", out), io.Discard, &progress); err == nil {
			t.Errorf("release %v: no error", args)
		}
	}
}

func checkSums(t *testing.T, files map[string][]byte, sums string) {
	t.Helper()
	lines := 0
	for line := range strings.Lines(sums) {
		lines++
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if have := sha256.Sum256(files[name]); hex.EncodeToString(have[:]) != sum {
			t.Errorf("the sum of %s is not %s", name, sum)
		}
	}
	if lines != len(files)-1 {
		t.Errorf("%d sums for %d files", lines, len(files)-1)
	}
}

func checkArchive(t *testing.T, data []byte) {
	t.Helper()
	files, names := untar(t, gunzip(t, data))
	want := "coffer LICENSE README.md THIRD-PARTY.txt completions/coffer.bash completions/coffer.fish completions/_coffer man/coffer-plan.1 man/coffer.1"
	if strings.Join(names, " ") != want {
		t.Errorf("the archive holds %v", names)
	}
	for name, f := range files {
		if mode := map[bool]int64{true: 0o755, false: 0o644}[name == "coffer"]; f.mode != mode || f.owner != 0 || f.time != testEpoch {
			t.Errorf("%s: mode %o of user %d at %d", name, f.mode, f.owner, f.time)
		}
	}
	if !strings.Contains(string(files["THIRD-PARTY.txt"].data), "Go: LICENSE") {
		t.Error("THIRD-PARTY.txt does not hold Go's own licence")
	}
}

func checkDeb(t *testing.T, data []byte, arch string) {
	t.Helper()
	control, others, files := debOf(t, data)
	for _, line := range []string{"Package: coffer", "Version: 1.2.3~rc.1", "Architecture: " + arch, "Section: admin", "Homepage: " + homepage} {
		if !strings.Contains("\n"+control, "\n"+line+"\n") {
			t.Errorf("the control file has no line %q:\n%s", line, control)
		}
	}
	for name := range others {
		if strings.Contains("./preinst ./postinst ./prerm ./postrm ./conffiles", name) {
			t.Errorf("the package would run or keep %s", name)
		}
	}
	for name, mode := range map[string]int64{
		"./usr/bin/coffer": 0o755, "./usr/share/man/man1/coffer-plan.1.gz": 0o644, "./usr/share/doc/coffer/copyright": 0o644,
		"./usr/share/doc/coffer/THIRD-PARTY.txt": 0o644, "./usr/share/bash-completion/completions/coffer": 0o644,
		"./usr/share/zsh/vendor-completions/_coffer": 0o644, "./usr/share/fish/vendor_completions.d/coffer.fish": 0o644,
	} {
		if f := files[name]; f.mode != mode || f.owner != 0 || f.time != testEpoch || len(f.data) == 0 {
			t.Errorf("%s: mode %o of user %d at %d, %d bytes", name, f.mode, f.owner, f.time, len(f.data))
		}
	}
	if page := gunzip(t, files["./usr/share/man/man1/coffer.1.gz"].data); string(page) != ".TH COFFER 1\n" {
		t.Errorf("the manual page is %q", page)
	}
}

func checkRPM(t *testing.T, data []byte, arch string) {
	t.Helper()
	p, files := rpmOf(t, data)
	for tag, want := range map[int]string{
		rpmutils.NAME: "coffer", rpmutils.VERSION: "1.2.3~rc.1", rpmutils.RELEASE: "1", rpmutils.ARCH: arch, rpmutils.OS: "linux",
		rpmutils.LICENSE: licence, rpmutils.BUILDHOST: "localhost", rpmutils.SUMMARY: "Declarative reconciler for secrets",
	} {
		if have, err := p.Header.GetString(tag); err != nil || have != want {
			t.Errorf("the RPM's tag %d is %q, want %q (%v)", tag, have, want, err)
		}
	}
	if when, err := p.Header.GetUint32s(rpmutils.BUILDTIME); err != nil || len(when) != 1 || when[0] != testEpoch {
		t.Errorf("the RPM says it was built at %v (%v)", when, err)
	}
	for _, script := range []int{rpmutils.PREIN, rpmutils.POSTIN, rpmutils.PREUN, rpmutils.POSTUN} {
		if p.Header.HasTag(script) {
			t.Errorf("the RPM runs a script (tag %d)", script)
		}
	}
	for name, mode := range map[string]int64{
		"/usr/bin/coffer": 0o755, "/usr/share/man/man1/coffer-plan.1.gz": 0o644, "/usr/share/licenses/coffer/LICENSE": 0o644,
		"/usr/share/zsh/site-functions/_coffer": 0o644, "/usr/share/doc/coffer/THIRD-PARTY.txt": 0o644,
	} {
		if f := files[name]; f.mode != mode || f.time != testEpoch || len(f.data) == 0 {
			t.Errorf("%s: mode %o at %d, %d bytes", name, f.mode, f.time, len(f.data))
		}
	}
}

// macOS wants every program to have an identity of its own.
func checkUUID(t *testing.T, archive []byte) {
	t.Helper()
	files, _ := untar(t, gunzip(t, archive))
	f, err := macho.NewFile(bytes.NewReader(files["coffer"].data))
	if err != nil {
		t.Fatal(err)
	}
	const uuid = 0x1b // LC_UUID
	for _, l := range f.Loads {
		raw := l.Raw()
		if f.ByteOrder.Uint32(raw) == uuid && !bytes.Equal(raw[8:], make([]byte, 16)) {
			return
		}
	}
	t.Error("the program for macOS has no UUID")
}

// checkImages returns the program of the image for this machine.
func checkImages(t *testing.T, data []byte, version string) []byte {
	t.Helper()
	var binary []byte
	images := imagesOf(t, data)
	for platform, img := range images {
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if c.OS+"/"+c.Architecture != platform || c.Config.User != "65532:65532" || c.Created.Unix() != testEpoch ||
			fmt.Sprint(c.Config.Entrypoint) != "[/usr/bin/coffer]" || c.Config.Labels["org.opencontainers.image.version"] != version {
			t.Errorf("the configuration of the image for %s: %+v", platform, c)
		}
		files := layersOf(t, img)
		for name, want := range map[string]packed{
			"usr/bin/coffer": {mode: 0o755}, "etc/passwd": {mode: 0o644}, "etc/ssl/certs/ca-certificates.crt": {mode: 0o644},
			"tmp/": {mode: 0o1777}, imageHome: {mode: 0o700, owner: imageUser}, imageWork: {mode: 0o755, owner: imageUser},
		} {
			if f, ok := files[name]; !ok || f.mode != want.mode || f.owner != want.owner || f.time != testEpoch {
				t.Errorf("%s in the image for %s: mode %o of user %d at %d", name, platform, f.mode, f.owner, f.time)
			}
		}
		if c.Architecture == runtime.GOARCH {
			binary = files["usr/bin/coffer"].data
		}
	}
	if binary == nil {
		t.Fatalf("there is no image for %s among %v", runtime.GOARCH, slices.Sorted(maps.Keys(images)))
	}
	return binary
}

// runBinary runs a program as it came out of an archive or an image.
func runBinary(t *testing.T, binary []byte, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coffer")
	if err := os.WriteFile(path, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("coffer %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func checkSPDX(t *testing.T, data []byte) {
	t.Helper()
	validSPDX(t, data)
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Files) != 4 || doc.Packages[0].VersionInfo != "1.2.3-rc.1" || doc.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("the SBOM is of %d files, version %s, at %s", len(doc.Files), doc.Packages[0].VersionInfo, doc.CreationInfo.Created)
	}
}
