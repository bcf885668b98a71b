package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// linkedModule is a module that is linked into at least one program.
type linkedModule struct {
	path, version, sum string
	in                 []string // the programs, "linux_amd64"
}

// linked returns the modules of all programs, by path.
func linked(programs []program) []linkedModule {
	byPath := map[string]*linkedModule{}
	for _, p := range programs {
		for _, m := range p.info.Deps {
			have := byPath[m.Path]
			if have == nil {
				have = &linkedModule{path: m.Path, version: m.Version, sum: m.Sum}
				byPath[m.Path] = have
			}
			have.in = append(have.in, p.String())
		}
	}
	var all []linkedModule
	for _, m := range byPath {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b linkedModule) int { return strings.Compare(a.path, b.path) })
	return all
}

// The parts of SPDX 2.3 that are used.
type (
	spdxDocument struct {
		SPDXVersion       string             `json:"spdxVersion"`
		DataLicense       string             `json:"dataLicense"`
		SPDXID            string             `json:"SPDXID"`
		Name              string             `json:"name"`
		DocumentNamespace string             `json:"documentNamespace"`
		CreationInfo      spdxCreation       `json:"creationInfo"`
		Packages          []spdxPackage      `json:"packages"`
		Files             []spdxFile         `json:"files"`
		Relationships     []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		SPDXID           string            `json:"SPDXID"`
		Name             string            `json:"name"`
		VersionInfo      string            `json:"versionInfo"`
		DownloadLocation string            `json:"downloadLocation"`
		FilesAnalyzed    bool              `json:"filesAnalyzed"`
		VerificationCode *spdxVerification `json:"packageVerificationCode,omitempty"`
		LicenseConcluded string            `json:"licenseConcluded"`
		LicenseDeclared  string            `json:"licenseDeclared"`
		CopyrightText    string            `json:"copyrightText"`
		SourceInfo       string            `json:"sourceInfo,omitempty"`
		Comment          string            `json:"comment,omitempty"`
		Purpose          string            `json:"primaryPackagePurpose"`
		ExternalRefs     []spdxReference   `json:"externalRefs"`
	}
	spdxVerification struct {
		Value string `json:"packageVerificationCodeValue"`
	}
	spdxReference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxFile struct {
		SPDXID           string         `json:"SPDXID"`
		FileName         string         `json:"fileName"`
		FileTypes        []string       `json:"fileTypes"`
		Checksums        []spdxChecksum `json:"checksums"`
		LicenseConcluded string         `json:"licenseConcluded"`
		CopyrightText    string         `json:"copyrightText"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const (
	spdxSelf    = "SPDXRef-DOCUMENT"
	spdxCoffer  = "SPDXRef-Package-coffer"
	noAssertion = "NOASSERTION"
)

// sbom writes what is inside the binaries, as they themselves say it: each
// module with its version and the hash that go.sum holds it to, and Go's own
// library. A scanner of vulnerabilities takes it as it is.
func (r *release) sbom(dir string, programs []program, _ documents) error {
	doc, err := r.spdx(programs)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, r.name("sbom.spdx.json")), append(data, '\n'))
}

func (r *release) spdx(programs []program) (*spdxDocument, error) {
	files, err := spdxFiles(programs)
	if err != nil {
		return nil, err
	}
	commit := r.commit[:min(len(r.commit), shortCommit)]
	doc := &spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: spdxSelf, Name: "coffer-" + r.version,
		DocumentNamespace: homepage + "/sbom/" + url.PathEscape(r.version) + "/" + commit + "/" + files[0].Checksums[1].Value,
		CreationInfo: spdxCreation{
			Created:  r.time.Format(time.RFC3339),
			Creators: []string{"Organization: The Coffer authors", "Tool: coffer-release"},
		},
		Packages: []spdxPackage{r.spdxSelfPackage(files)},
		Files:    files,
		Relationships: []spdxRelationship{
			{spdxSelf, "DESCRIBES", spdxCoffer},
		},
	}
	for _, f := range files {
		doc.Relationships = append(doc.Relationships, spdxRelationship{spdxCoffer, "CONTAINS", f.SPDXID})
	}
	parts := []spdxPackage{spdxGo(programs[0].info.GoVersion)}
	for _, m := range linked(programs) {
		parts = append(parts, spdxModule(m, len(programs)))
	}
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.SPDXID] {
			return nil, fmt.Errorf("two modules would be called %s", p.SPDXID)
		}
		seen[p.SPDXID] = true
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, spdxRelationship{spdxCoffer, "DEPENDS_ON", p.SPDXID})
	}
	return doc, nil
}

func (r *release) spdxSelfPackage(files []spdxFile) spdxPackage {
	var sums []string
	for _, f := range files {
		sums = append(sums, f.Checksums[0].Value)
	}
	slices.Sort(sums)
	code := sha1.Sum([]byte(strings.Join(sums, "")))
	return spdxPackage{
		SPDXID: spdxCoffer, Name: "coffer", VersionInfo: r.version,
		DownloadLocation: "git+" + homepage + ".git@" + strings.TrimSuffix(r.commit, changesSuffix),
		FilesAnalyzed:    true, VerificationCode: &spdxVerification{hex.EncodeToString(code[:])},
		LicenseConcluded: licence, LicenseDeclared: licence, CopyrightText: "Copyright The Coffer authors", Purpose: "APPLICATION",
		ExternalRefs: []spdxReference{{"PACKAGE-MANAGER", "purl", purl(module, "v"+r.version)}},
	}
}

// spdxFiles lists the binaries, by platform.
func spdxFiles(programs []program) ([]spdxFile, error) {
	var files []spdxFile
	for _, p := range programs {
		data, err := os.ReadFile(p.path)
		if err != nil {
			return nil, err
		}
		old, sum := sha1.Sum(data), sha256.Sum256(data)
		files = append(files, spdxFile{
			SPDXID: "SPDXRef-File-" + spdxName(p.String()), FileName: "./" + p.String() + "/coffer", FileTypes: []string{"BINARY"},
			Checksums:        []spdxChecksum{{"SHA1", hex.EncodeToString(old[:])}, {"SHA256", hex.EncodeToString(sum[:])}},
			LicenseConcluded: noAssertion, CopyrightText: noAssertion,
		})
	}
	return files, nil
}

func spdxModule(m linkedModule, programs int) spdxPackage {
	p := spdxPackage{
		SPDXID: "SPDXRef-Package-go-" + spdxName(m.path), Name: m.path, VersionInfo: m.version,
		DownloadLocation: noAssertion, LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, CopyrightText: noAssertion,
		Purpose:      "LIBRARY",
		ExternalRefs: []spdxReference{{"PACKAGE-MANAGER", "purl", purl(m.path, m.version)}},
	}
	if m.sum != "" {
		p.SourceInfo = "go.sum " + m.sum
	}
	if len(m.in) < programs {
		p.Comment = "only in " + strings.Join(m.in, ", ")
	}
	return p
}

// spdxGo is the standard library, by the name that vulnerability databases use.
func spdxGo(version string) spdxPackage {
	number := strings.TrimPrefix(version, "go")
	return spdxPackage{
		SPDXID: "SPDXRef-Package-go-stdlib", Name: "stdlib", VersionInfo: version,
		DownloadLocation: noAssertion, LicenseConcluded: noAssertion, LicenseDeclared: "BSD-3-Clause", CopyrightText: noAssertion,
		Purpose: "LIBRARY",
		ExternalRefs: []spdxReference{
			{"PACKAGE-MANAGER", "purl", purl("stdlib", number)},
			{"SECURITY", "cpe23Type", "cpe:2.3:a:golang:go:" + number + ":-:*:*:*:*:*:*"},
		},
	}
}

// notInName is what an SPDX identifier may not have.
var notInName = regexp.MustCompile(`[^A-Za-z0-9.]+`)

func spdxName(s string) string { return notInName.ReplaceAllString(s, "-") }

// purl names a module as the purl specification says: lower case, each part
// escaped, a plus included.
func purl(path, version string) string {
	parts := strings.Split(strings.ToLower(path), "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}
