package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The image: the program, the certificate authorities, a user that is not root,
// and nothing else. No shell, no package manager, no git.
const (
	imageUser = 65532 // "nonroot", by the custom of images without a distribution
	imageHome = "home/coffer/"
	imageWork = "work/"
)

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// The documents of the OCI image specification 1.1, as far as they are used. A
// map is written by its sorted keys, so the same data is the same bytes.
type (
	descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Platform    *ociPlatform      `json:"platform,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	ociPlatform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	index struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []descriptor      `json:"manifests"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}
	manifest struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Config        descriptor        `json:"config"`
		Layers        []descriptor      `json:"layers"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}
	imageConfig struct {
		Created      string    `json:"created"`
		Architecture string    `json:"architecture"`
		OS           string    `json:"os"`
		Config       runConfig `json:"config"`
		RootFS       rootFS    `json:"rootfs"`
		History      []history `json:"history"`
	}
	runConfig struct {
		User       string            `json:"User"`
		Env        []string          `json:"Env"`
		Entrypoint []string          `json:"Entrypoint"`
		WorkingDir string            `json:"WorkingDir"`
		Labels     map[string]string `json:"Labels"`
	}
	rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	history struct {
		Created   string `json:"created"`
		CreatedBy string `json:"created_by"`
	}
)

// layout is an OCI image layout under construction.
type layout struct {
	blobs []file // by digest, each once
}

// add keeps a blob and describes it.
func (l *layout) add(mediaType string, data []byte) descriptor {
	digest := digestOf(data)
	name := "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:")
	if !slices.ContainsFunc(l.blobs, func(f file) bool { return f.name == name }) {
		l.blobs = append(l.blobs, file{name: name, mode: 0o644, data: data})
	}
	return descriptor{MediaType: mediaType, Digest: digest, Size: len(data)}
}

func (l *layout) addJSON(mediaType string, document any) (descriptor, error) {
	data, err := json.Marshal(document)
	return l.add(mediaType, data), err
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// image writes one image for all architectures of Linux, as a tar of an OCI
// image layout: no daemon is asked, and none is needed to read it.
func (r *release) image(dir string, programs []program, docs documents) error {
	base, err := r.imageBase(docs)
	if err != nil {
		return err
	}
	l := &layout{}
	all := index{SchemaVersion: 2, MediaType: typeIndex, Annotations: r.imageLabels()}
	for _, p := range programs {
		if p.os != "linux" {
			continue
		}
		d, err := r.imageFor(l, p, base)
		if err != nil {
			return fmt.Errorf("the image for %s: %w", p, err)
		}
		all.Manifests = append(all.Manifests, d)
	}
	if len(all.Manifests) == 0 {
		return nil
	}
	top, err := l.addJSON(typeIndex, all)
	if err != nil {
		return err
	}
	top.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": strings.ReplaceAll(r.version, "+", "_"), // a tag has no plus
	}
	entry, err := json.Marshal(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}})
	if err != nil {
		return err
	}
	slices.SortFunc(l.blobs, func(a, b file) int { return strings.Compare(a.name, b.name) })
	files := append([]file{
		{name: "oci-layout", mode: 0o644, data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{name: "index.json", mode: 0o644, data: entry},
		{name: "blobs/", mode: 0o755},
		{name: "blobs/sha256/", mode: 0o755},
	}, l.blobs...)
	data, err := tarOf(files, r.time)
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, r.name("oci.tar")), data)
}

// imageBase returns the files that are the same on every architecture.
func (r *release) imageBase(docs documents) ([]file, error) {
	roots, err := rootCertificates()
	if err != nil {
		return nil, err
	}
	id := strconv.Itoa(imageUser)
	text := func(name, s string) file { return file{name: name, mode: 0o644, data: []byte(s)} }
	folder := func(name string, mode int64, owner int) file { return file{name: name, mode: mode, owner: owner} }
	return []file{
		folder("etc/", 0o755, 0),
		text("etc/group", "root:x:0:\nnonroot:x:"+id+":\n"),
		text("etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:"+id+":"+id+":nonroot:/"+
			strings.TrimSuffix(imageHome, "/")+":/sbin/nologin\n"),
		folder("etc/ssl/", 0o755, 0),
		folder("etc/ssl/certs/", 0o755, 0),
		text("etc/ssl/certs/ca-certificates.crt", string(roots)),
		folder("home/", 0o755, 0),
		folder(imageHome, 0o700, imageUser),
		folder("tmp/", 0o1777, 0),
		folder("usr/", 0o755, 0),
		folder("usr/share/", 0o755, 0),
		folder("usr/share/doc/", 0o755, 0),
		folder("usr/share/doc/coffer/", 0o755, 0),
		docs.license.at("usr/share/doc/coffer/" + docs.license.name),
		docs.thirdParty.at("usr/share/doc/coffer/" + docs.thirdParty.name),
		folder(imageWork, 0o755, imageUser),
	}, nil
}

// imageFor adds the image of one architecture and describes its manifest.
func (r *release) imageFor(l *layout, p program, base []file) (descriptor, error) {
	binary, err := os.ReadFile(p.path)
	if err != nil {
		return descriptor{}, err
	}
	own := []file{
		{name: "usr/", mode: 0o755},
		{name: "usr/bin/", mode: 0o755},
		{name: "usr/bin/coffer", mode: 0o755, data: binary},
	}
	created := r.time.Format(time.RFC3339)
	m := manifest{SchemaVersion: 2, MediaType: typeManifest, Annotations: r.imageLabels()}
	c := imageConfig{
		Created: created, Architecture: p.arch, OS: p.os, RootFS: rootFS{Type: "layers"},
		Config: runConfig{
			User:       fmt.Sprintf("%d:%[1]d", imageUser),
			Env:        []string{"PATH=/usr/bin", "HOME=/" + strings.TrimSuffix(imageHome, "/")},
			Entrypoint: []string{"/usr/bin/coffer"},
			WorkingDir: "/" + strings.TrimSuffix(imageWork, "/"),
			Labels:     r.imageLabels(),
		},
	}
	for _, layer := range []struct {
		what  string
		files []file
	}{{"certificate authorities and a user", base}, {"the program", own}} {
		packed, err := tarOf(layer.files, r.time)
		if err != nil {
			return descriptor{}, err
		}
		data, err := compress(packed, nil)
		if err != nil {
			return descriptor{}, err
		}
		m.Layers = append(m.Layers, l.add(typeLayer, data))
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digestOf(packed))
		c.History = append(c.History, history{Created: created, CreatedBy: layer.what})
	}
	if m.Config, err = l.addJSON(typeConfig, c); err != nil {
		return descriptor{}, err
	}
	d, err := l.addJSON(typeManifest, m)
	d.Platform = &ociPlatform{Architecture: p.arch, OS: p.os}
	return d, err
}

func (r *release) imageLabels() map[string]string {
	label := func(name string) string { return "org.opencontainers.image." + name }
	return map[string]string{
		label("title"):         "coffer",
		label("description"):   "A declarative reconciler for secrets",
		label("version"):       r.version,
		label("revision"):      r.commit,
		label("created"):       r.time.Format(time.RFC3339),
		label("source"):        homepage,
		label("url"):           homepage,
		label("documentation"): homepage + "/blob/v" + r.version + "/docs/README.md",
		label("licenses"):      licence,
	}
}
