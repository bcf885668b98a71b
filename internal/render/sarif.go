package render

import (
	"io"
	"net/url"
	"regexp"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
)

// sarifSchema is where readers of the document find its schema.
const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// The part of a SARIF log that findings need.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		Automation sarifID       `json:"automationDetails"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifID struct {
		ID string `json:"id"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string     `json:"id"`
		Name    string     `json:"name"`
		Short   sarifText  `json:"shortDescription"`
		Full    sarifText  `json:"fullDescription"`
		Help    sarifText  `json:"help"`
		Default sarifLevel `json:"defaultConfiguration"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifResult struct {
		RuleID    string            `json:"ruleId"`
		RuleIndex int               `json:"ruleIndex"`
		Level     string            `json:"level"`
		Message   sarifText         `json:"message"`
		Locations []sarifLocation   `json:"locations"`
		Prints    map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI    string `json:"uri"`
		BaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

// SARIF writes a report as a SARIF 2.1.0 log. Every result has a location,
// since GitHub refuses a log with one that has none, and the key of its finding
// as a fingerprint, under GitHub's name for it as well: by the line alone it
// would take two findings at one block for one. The only errors are the sink's.
func SARIF(w io.Writer, rep *Report, o ReportOptions) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "Coffer", Version: o.Version, Rules: []sarifRule{}}},
		Automation: sarifID{automationID(rep, o)},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	index := map[string]int{}
	for i := range rep.Findings {
		f := &rep.Findings[i]
		id := Sanitize(f.Rule) // which may cut it: no two rules have one ID
		at, known := index[id]
		if !known {
			at = len(run.Tool.Driver.Rules)
			index[id] = at
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(f))
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: id, RuleIndex: at, Level: sarifLevelOf(f.Level),
			Message:   sarifText{sarifMessage(f.paragraphs("\n"))},
			Locations: []sarifLocation{sarifPlace(f, o)},
			Prints:    map[string]string{"cofferFinding/v1": f.Key, "primaryLocationLineHash": f.Key},
		})
	}
	return JSON(w, sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// automationID keeps what plan and drift found, and what other folders of the
// repository have, apart: a later log replaces that with the same ID. It is
// known also where the configuration cannot be read.
func automationID(rep *Report, o ReportOptions) string {
	id := "coffer/" + rep.Command + "/"
	if dir, ok := o.relative("."); ok {
		id += relativeURI(dir) + "/"
	}
	return id
}

func sarifRuleOf(f *ReportFinding) sarifRule {
	r := RuleOf(f.Rule, f.Level)
	return sarifRule{
		ID: Sanitize(r.ID), Name: Sanitize(r.Name),
		Short: sarifText{sarifMessage(Sanitize(r.About))}, Full: sarifText{sarifMessage(Sanitize(r.About))},
		Help: sarifText{sarifMessage(Sanitize(r.Help))}, Default: sarifLevel{sarifLevelOf(r.Level)},
	}
}

func sarifLevelOf(l Level) string {
	if l == LevelNotice {
		return "note"
	}
	return string(l)
}

func sarifPlace(f *ReportFinding, o ReportOptions) sarifLocation {
	file, line, exact := o.place(f)
	at := sarifLocation{Physical: sarifPhysical{
		Artifact: sarifArtifact{URI: relativeURI(file), BaseID: "%SRCROOT%"},
		Region:   sarifRegion{StartLine: line},
	}}
	if exact {
		at.Physical.Region.StartColumn = max(f.Range.Column, 0)
	}
	if f.Address != (addr.Address{}) {
		at.Logical = []sarifLogical{{Name: Sanitize(f.Address.String()), Kind: "resource"}}
	}
	return at
}

// relativeURI returns a relative path as a relative reference. A name with a
// colon gets "./" in front, so that it is not taken for a scheme.
func relativeURI(file string) string {
	u := url.URL{Path: file}
	return u.String()
}

// sarifMessage keeps text from being more than text: SARIF knows links, as in
// [text](target), and numbered placeholders, as in {0}. Other braces stay as
// they are, since viewers show them so.
func sarifMessage(s string) string {
	return placeholder.ReplaceAllString(strings.ReplaceAll(s, "](", "] ("), "{{$1}}")
}

var placeholder = regexp.MustCompile(`\{(\d+)\}`)
