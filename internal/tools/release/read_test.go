package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/sassoftware/go-rpmutils"
)

// Readers of what release writes: none of them shares code with the writers.

// packed is one file as an archive or a package has it.
type packed struct {
	mode        int64
	owner, time int64
	data        []byte
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "" || r.Comment != "" || len(r.Extra) > 0 || !r.ModTime.IsZero() {
		t.Errorf("the gzip header says something of its own: %+v", r.Header)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// untar returns the files of a tar and their names in order.
func untar(t *testing.T, data []byte) (map[string]packed, []string) {
	t.Helper()
	files := map[string]packed{}
	var names []string
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, names
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		if h.Uid != h.Gid {
			t.Errorf("%s is of user %d and group %d", h.Name, h.Uid, h.Gid)
		}
		files[h.Name] = packed{h.Mode, int64(h.Uid), h.ModTime.Unix(), content}
		names = append(names, h.Name)
	}
}

// unar returns the members of an ar archive, by name, and the names in order.
func unar(t *testing.T, data []byte) (map[string]packed, []string) {
	t.Helper()
	rest, ok := bytes.CutPrefix(data, []byte("!<arch>\n"))
	if !ok {
		t.Fatalf("no ar archive: %.8q", data)
	}
	files := map[string]packed{}
	var names []string
	for len(rest) > 0 {
		field := func(from, to, base int) int64 {
			n, err := strconv.ParseInt(strings.TrimSpace(string(rest[from:to])), base, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if string(rest[58:60]) != "`\n" {
			t.Fatalf("a member's header ends in %q", rest[58:60])
		}
		name := strings.TrimRight(string(rest[:16]), " /")
		size := field(48, 58, 10)
		files[name] = packed{field(40, 48, 8), field(28, 34, 10), field(16, 28, 10), rest[60 : 60+size]}
		names = append(names, name)
		rest = rest[60+size+size%2:]
	}
	return files, names
}

// deb returns the control fields, the other control files and what is installed.
func debOf(t *testing.T, data []byte) (control string, others, files map[string]packed) {
	t.Helper()
	members, names := unar(t, data)
	if fmt.Sprint(names) != "[debian-binary control.tar.gz data.tar.gz]" || string(members["debian-binary"].data) != "2.0\n" {
		t.Fatalf("the members are %v", names)
	}
	others, _ = untar(t, gunzip(t, members["control.tar.gz"].data))
	files, _ = untar(t, gunzip(t, members["data.tar.gz"].data))
	return string(others["./control"].data), others, files
}

// rpmOf reads a package with a library of its own, header and payload.
func rpmOf(t *testing.T, data []byte) (*rpmutils.Rpm, map[string]packed) {
	t.Helper()
	p, err := rpmutils.ReadRpm(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := rpmutils.Verify(bytes.NewReader(data), nil); err != nil {
		t.Errorf("the digests of the RPM: %v", err)
	}
	payload, err := p.PayloadReaderExtended()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]packed{}
	for {
		f, err := payload.Next()
		if errors.Is(err, io.EOF) {
			return p, files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(payload)
		if err != nil {
			t.Fatal(err)
		}
		if f.UserName() != "root" || f.GroupName() != "root" {
			t.Errorf("%s is of %s:%s", f.Name(), f.UserName(), f.GroupName())
		}
		files[f.Name()] = packed{int64(f.Mode()) & 0o7777, 0, int64(f.Mtime()), content}
	}
}

// imagesOf unpacks an image layout, checks every digest and size from the index
// down to the layers, and returns the images by architecture.
func imagesOf(t *testing.T, data []byte) map[string]v1.Image {
	t.Helper()
	dir := t.TempDir()
	files, names := untar(t, data)
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, files[name].data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	top, err := ocilayout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Errorf("the image layout: %v", err)
	}
	entry, err := top.IndexManifest()
	if err != nil || len(entry.Manifests) != 1 {
		t.Fatalf("want one entry in index.json: %+v, %v", entry, err)
	}
	all, err := top.ImageIndex(entry.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	platforms, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	used := 1 // the index of platforms
	seen := map[string]bool{}
	for _, m := range platforms.Manifests {
		img, err := all.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		images[m.Platform.String()] = img
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		used += 2
		for _, l := range layers {
			digest, err := l.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if !seen[digest.String()] {
				seen[digest.String()], used = true, used+1
			}
		}
	}
	if blobs := len(names) - len([]string{"oci-layout", "index.json", "blobs/", "blobs/sha256/"}); blobs != used {
		t.Errorf("%d blobs, %d of them in use", blobs, used)
	}
	return images
}

// layersOf returns the files of an image as a container sees them.
func layersOf(t *testing.T, img v1.Image) map[string]packed {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]packed{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		files, _ := untar(t, data)
		for name, f := range files {
			all[name] = f
		}
	}
	return all
}
