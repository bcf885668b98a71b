package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// validSPDX holds a document to the schema of SPDX 2.3, and to what a schema
// cannot say: identifiers are unique, and relationships name what is there.
func validSPDX(t *testing.T, data []byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/spdx-2.3.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("spdx.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("spdx.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Errorf("the SBOM: %v", err)
	}
	var doc spdxDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{doc.SPDXID: 1}
	for _, p := range doc.Packages {
		ids[p.SPDXID]++
	}
	for _, f := range doc.Files {
		ids[f.SPDXID]++
	}
	for id, n := range ids {
		if n > 1 || strings.Trim(strings.TrimPrefix(id, "SPDXRef-"), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
			t.Errorf("the identifier %s is there %d times, or is none", id, n)
		}
	}
	for _, r := range doc.Relationships {
		if ids[r.Element] == 0 || ids[r.Related] == 0 {
			t.Errorf("%s %s %s: one of them is not there", r.Element, r.Type, r.Related)
		}
	}
}

// The SBOM of a program with modules: this test.
func TestSBOM(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	less := *info
	less.Deps = less.Deps[1:]
	r := release{source: source{version: "1.2.3", commit: testCommit + "+changes", time: time.Unix(testEpoch, 0).UTC()}}
	doc, err := r.spdx([]program{{platform{"linux", "amd64"}, self, info}, {platform{"darwin", "arm64"}, self, &less}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	validSPDX(t, data)
	if want := len(info.Deps) + len([]string{"coffer", "stdlib"}); len(doc.Packages) != want || want < 20 {
		t.Errorf("%d packages, want %d", len(doc.Packages), want)
	}
	byName := map[string]spdxPackage{}
	for _, p := range doc.Packages {
		byName[p.Name] = p
	}
	if p := byName["github.com/goreleaser/nfpm/v2"]; p.VersionInfo == "" || !strings.HasPrefix(p.SourceInfo, "go.sum h1:") || p.Comment != "" {
		t.Errorf("a module: %+v", p)
	}
	if p := byName[info.Deps[0].Path]; p.Comment != "only in linux_amd64" {
		t.Errorf("a module of one program only: %+v", p)
	}
	if p := byName["coffer"]; !strings.HasSuffix(p.DownloadLocation, "@"+testCommit) {
		t.Errorf("the source is %s", p.DownloadLocation)
	}
	for path, want := range map[string]string{
		"github.com/Azure/azure-sdk-for-go/sdk/azcore": "pkg:golang/github.com/azure/azure-sdk-for-go/sdk/azcore@v1.0.0+incompatible",
		"stdlib":        "pkg:golang/stdlib@v1.0.0+incompatible",
		"example.com/~": "pkg:golang/example.com/~@v1.0.0+incompatible",
	} {
		if have := purl(path, "v1.0.0+incompatible"); have != strings.ReplaceAll(want, "+", "%2B") {
			t.Errorf("purl(%s) = %s", path, have)
		}
	}
}
