package sops

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/secret"
)

func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Harness{New: newInstance})
}

// instance is one configuration folder as the suite sees it.
type instance struct {
	t   providertest.T
	dir string
}

func newInstance(t providertest.T) *providertest.Instance {
	i := instance{t, t.TempDir()}
	return &providertest.Instance{
		Driver: i.open(firstKey),
		Reopen: func() providers.Driver { return i.open(firstKey) },
		Blind:  func() providers.Driver { return i.open("") },
		Where:  i.dir,
		Edit:   i.edit,
		AtRest: i.atRest,
		Elsewhere: func() {
			i.copyFile("elsewhere.yaml", "two.yaml")
		},
		Object: func() providers.ObjectRequest {
			return providers.ObjectRequest{
				Ref:      providers.ObjectRef{Kind: KindRecipients, Path: "objects/one.yaml"},
				Document: document([]string{firstRecipient, secondRecipient}), OpID: "object-1",
			}
		},
		Rekey: i.rekey,
		Damage: func(path string) {
			file := filepath.Join(i.dir, filepath.FromSlash(i.folder()), filepath.FromSlash(i.open(firstKey).Container("secret", path)))
			i.must(os.Truncate(file, 100))
		},
	}
}

// rekey lets a second recipient in, which keeps the data key, and returns the
// request that takes it out again.
func (i instance) rekey(path string) providers.ObjectRequest {
	d := i.open(firstKey)
	ref := providers.ObjectRef{Kind: KindRecipients, Path: d.Container("secret", path)}
	found, err := d.InspectObjects(i.t.Context(), []providers.ObjectRef{ref})
	i.must(err)
	o, err := d.WriteObject(i.t.Context(), providers.ObjectRequest{
		Ref: ref, Document: document([]string{firstRecipient, secondRecipient}), IfVersion: found[ref].Version,
	})
	i.must(err)
	return providers.ObjectRequest{Ref: ref, Document: document([]string{firstRecipient}), OpID: "rekey", IfVersion: o.Version}
}

func (i instance) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatalf("%v", err)
	}
}

func (i instance) open(key string) *Driver {
	d, err := Open(providers.Env{Dir: i.dir, Getenv: getenv(key), Now: time.Now, Random: rand.Reader},
		Config{Path: i.folder(), Recipients: Recipients{All: []string{firstRecipient}}}, Options{})
	i.must(err)
	return d
}

// folder differs between instances, because it is the identity: a clone of the
// same configuration on another machine is the same store.
func (i instance) folder() string {
	return "secrets-" + strings.ReplaceAll(strings.TrimPrefix(filepath.ToSlash(i.dir), filepath.ToSlash(os.TempDir())), "/", "-")
}

// edit is another person with another process.
func (i instance) edit(path string, v secret.Value) {
	d := i.open(firstKey)
	found, err := d.Inspect(i.t.Context(), []string{path})
	i.must(err)
	_, err = d.Write(i.t.Context(), providers.WriteRequest{Path: path, Value: v, OpID: fmt.Sprintf("by hand %d", time.Now().UnixNano()), IfVersion: found[path].Version})
	i.must(err)
}

func (i instance) copyFile(to, golden string) {
	data, err := os.ReadFile(filepath.Join("testdata", golden))
	i.must(err)
	i.must(os.WriteFile(filepath.Join(i.dir, to), data, 0o644))
}

func (i instance) atRest() []byte {
	var all bytes.Buffer
	i.must(filepath.WalkDir(i.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.WriteString(path + "\n")
		all.Write(data)
		return err
	}))
	return all.Bytes()
}
