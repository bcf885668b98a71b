package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

const (
	homepage    = "https://github.com/cofferhq/coffer"
	licence     = "Apache-2.0"
	description = "Declarative reconciler for secrets\n" +
		"Plan, apply and drift over the stores that keep your secrets: Vault and\n" +
		"OpenBao, Kubernetes, and files that sops opens. A plan reads no values."
)

// copyright is Debian's machine-readable form; the text itself is on every
// Debian system.
const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: coffer
Source: ` + homepage + `

Files: *
Copyright: The Coffer authors
License: Apache-2.0
 On Debian systems the full text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0. The licences of the modules that are
 linked in are in /usr/share/doc/coffer/THIRD-PARTY.txt.
`

// packages writes a Debian and an RPM package for each architecture of Linux.
func (r *release) packages(dir string, programs []program, docs documents) error {
	for _, p := range programs {
		if p.os != "linux" {
			continue
		}
		tree := filepath.Join(dir, "work", p.String(), "tree")
		for format, packager := range map[string]nfpm.Packager{"deb": deb.Default, "rpm": rpm.DefaultRPM} {
			contents, err := r.packageTree(filepath.Join(tree, format), format, p, docs)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := packager.Package(r.packageInfo(p, contents), &b); err != nil {
				return fmt.Errorf("the %s package for %s: %w", format, p, err)
			}
			if err := write(filepath.Join(dir, r.name(p.String()+"."+format)), b.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// packageInfo describes the package. Whatever the library would ask the machine
// for is given here: the time, and the host name that an RPM records.
func (r *release) packageInfo(p program, contents files.Contents) *nfpm.Info {
	return nfpm.WithDefaults(&nfpm.Info{
		Name: "coffer", Arch: p.arch, Platform: p.os, Version: r.version, VersionSchema: "semver",
		Section: "admin", Priority: "optional", Maintainer: "The Coffer authors <" + homepage + ">",
		Description: description, Homepage: homepage, License: licence, MTime: r.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Contents: contents,
			Umask:    0o022,
			RPM:      nfpm.RPM{BuildHost: "localhost", Group: "Applications/System", Compression: "gzip:9"},
			Deb:      nfpm.Deb{Compression: "gzip"},
		},
	})
}

// packageTree lays out the files of a package where its distributions look for
// them. The library reads them from disk.
func (r *release) packageTree(tree, format string, p program, docs documents) (files.Contents, error) {
	zsh, licencePath, licenceText := "usr/share/zsh/vendor-completions/", "usr/share/doc/coffer/copyright", []byte(copyright)
	if format == "rpm" {
		zsh, licencePath, licenceText = "usr/share/zsh/site-functions/", "usr/share/licenses/coffer/LICENSE", docs.license.data
	}
	all := []file{
		{name: licencePath, mode: 0o644, data: licenceText},
		docs.thirdParty.at("usr/share/doc/coffer/" + docs.thirdParty.name),
		docs.readme.at("usr/share/doc/coffer/" + docs.readme.name),
		docs.completions["bash"].at("usr/share/bash-completion/completions/coffer"),
		docs.completions["fish"].at("usr/share/fish/vendor_completions.d/coffer.fish"),
		docs.completions["zsh"].at(zsh + "_coffer"),
	}
	for _, page := range docs.man {
		data, err := compress(page.data, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, file{name: "usr/share/man/man1/" + page.name + ".gz", mode: 0o644, data: data})
	}
	contents := files.Contents{r.packaged(p.path, "usr/bin/coffer", 0o755)}
	for _, f := range all {
		path := filepath.Join(tree, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := write(path, f.data); err != nil {
			return nil, err
		}
		contents = append(contents, r.packaged(path, f.name, f.mode))
	}
	return contents, nil
}

func (r *release) packaged(from, to string, mode int64) *files.Content {
	return &files.Content{Source: from, Destination: "/" + to, FileInfo: &files.ContentFileInfo{
		Owner: "root", Group: "root", Mode: os.FileMode(mode), MTime: r.time,
	}}
}
