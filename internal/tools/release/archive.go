package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// archives writes an archive for each platform: what a person or the GitHub
// Action unpacks.
func (r *release) archives(dir string, programs []program, docs documents) error {
	for _, p := range programs {
		binary, err := os.ReadFile(p.path)
		if err != nil {
			return err
		}
		files := []file{{name: "coffer", mode: 0o755, data: binary}, docs.license, docs.readme, docs.thirdParty}
		for _, shell := range shells() {
			f := docs.completions[shell]
			files = append(files, f.at("completions/"+f.name))
		}
		for _, f := range docs.man {
			files = append(files, f.at("man/"+f.name))
		}
		data, err := compress(tarOf(files, r.time))
		if err != nil {
			return err
		}
		if err := write(filepath.Join(dir, r.name(p.String()+".tar.gz")), data); err != nil {
			return err
		}
	}
	return nil
}

// tarOf packs files in their order, all of one time. A name that ends in a slash
// is a folder.
func tarOf(files []file, when time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data)),
			Uid: f.owner, Gid: f.owner, ModTime: when, Format: tar.FormatUSTAR,
		}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// compress returns data as gzip, without a name and a time.
func compress(data []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
