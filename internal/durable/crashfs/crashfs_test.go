package crashfs_test

import (
	"os"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/durable/crashfs"
)

// contents returns what path may hold after a crash now; "-" is no file.
func contents(disk *crashfs.FS, path string) []string {
	var all []string
	for _, s := range disk.Survivors() {
		text := "-"
		if data, there := s.Content(path); there {
			text = string(data)
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func expect(t *testing.T, disk *crashfs.FS, path string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := contents(disk, path); !slices.Equal(got, want) {
		t.Errorf("%s may hold %q, want %q", path, got, want)
	}
}

func TestNameNeedsSyncOfFolder(t *testing.T) {
	disk := crashfs.New()
	f, err := disk.OpenFile("d/f", os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = f.Write([]byte("ab"))
	must(t, err)
	must(t, f.Sync())
	expect(t, disk, "d/f", "-", "ab")
	must(t, disk.SyncDir("elsewhere"))
	expect(t, disk, "d/f", "-", "ab")
	must(t, disk.SyncDir("d"))
	expect(t, disk, "d/f", "ab")
}

func TestContentNeedsSync(t *testing.T) {
	disk := crashfs.New()
	disk.Put("f", []byte("ab"))
	f, err := disk.OpenFile("f", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.Write([]byte("cd"))
	must(t, err)
	expect(t, disk, "f", "ab", "ab\x00\x00", "abc", "abc\x00", "abcd")
	must(t, f.Truncate(1))
	if got, _ := disk.Content("f"); string(got) != "a" {
		t.Errorf("the program sees %q", got)
	}
	must(t, f.Sync())
	expect(t, disk, "f", "a")
}

// A rename whose file was not synced may leave a file without its content:
// the mistake that durable.Replace must not make.
func TestRenameDoesNotSyncContent(t *testing.T) {
	disk := crashfs.New()
	disk.Put("d/f", []byte("old"))
	f, err := disk.CreateTemp("d", "t*")
	must(t, err)
	_, err = f.Write([]byte("n"))
	must(t, err)
	must(t, disk.Rename(f.Name(), "d/f"))
	must(t, disk.SyncDir("d"))
	expect(t, disk, "d/f", "", "\x00", "n")
}

func TestCrashStopsEverything(t *testing.T) {
	disk := crashfs.New()
	disk.Put("f", []byte("x"))
	disk.CrashBefore(1)
	if err := disk.Remove("f"); err != crashfs.ErrCrashed {
		t.Error(err)
	}
	if _, _, err := durable.Read(disk, "f", 10); err == nil {
		t.Error("a stopped machine answered")
	}
	expect(t, disk, "f", "x")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
