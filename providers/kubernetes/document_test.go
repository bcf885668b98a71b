package kubernetes

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/sealing"
)

func document(t *testing.T, text string) Document {
	t.Helper()
	var d Document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// merged applies a JSON merge patch (RFC 7396).
func merged(had any, patch map[string]any) map[string]any {
	out := map[string]any{}
	if m, ok := had.(map[string]any); ok {
		out, _ = cloned(m).(map[string]any)
	}
	for key, v := range patch {
		switch inner, isMap := v.(map[string]any); {
		case v == nil:
			delete(out, key)
		case isMap:
			out[key] = merged(out[key], inner)
		default:
			out[key] = v
		}
	}
	return out
}

func TestMergeTo(t *testing.T) {
	texts := []string{
		`{}`, `{"a": 1}`, `{"a": {"b": 1, "c": [1, 2]}}`, `{"a": {"b": 1, "c": [2]}, "d": "x"}`, `{"a": {"c": {"e": "f"}}, "d": {}}`, `{"d": {"b": null}, "a": "y"}`,
	}
	for _, from := range texts {
		for _, to := range texts {
			if strings.Contains(to, "null") { // no patch can set one
				continue
			}
			had, want := document(t, from), document(t, to)
			patch := mergeTo(had, want)
			if got := merged(map[string]any(had), patch); !reflect.DeepEqual(got, map[string]any(want)) {
				t.Errorf("%s to %s: %v makes %v", from, to, patch, got)
			}
			if from == to && len(patch) > 0 {
				t.Errorf("%s to itself: %v", from, patch)
			}
		}
	}
}

// TestSealedDocument: a manifest of somebody else's keeps all that a change is not
// about, and what is let go of keeps its content.
func TestSealedDocument(t *testing.T) {
	text, _ := sealingCertificate(t, time.Now().Add(time.Hour))
	key, err := sealing.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	const theirs = `{"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "a", "namespace": "b", "creationTimestamp": null,
		"labels": {"theirs": "x"}, "annotations": {"theirs": "y", "sealedsecrets.bitnami.com/cluster-wide": "true", "sealedsecrets.bitnami.com/namespace-wide": "true"}},
		"spec": {"encryptedData": {"A": "AgA=", "B": "AgB="}, "template": {"type": "Opaque", "metadata": {"labels": {"kept": "z"}}, "data": {"C": "{{ .A }}"}}}}`
	d, before := document(t, theirs), document(t, theirs)
	m := d.SealedMeta()
	if f := m.Attributes.Form; f.Scope != "cluster-wide" || f.Type != "" || m.Envelope != "" || m.OpID != "" {
		t.Errorf("%+v", m)
	}
	a := providers.Attributes{Mark: providers.Mark{Project: "shop"}, Labels: map[string]string{"kept": "ours"}, Form: providers.Form{Scope: "cluster-wide", Annotations: map[string]string{"n": "v"}}}
	if err := d.Seal(Seal{Key: key, Set: map[string]string{"A": "AgC="}, OpID: "1", Attributes: a}); err != nil {
		t.Fatal(err)
	}
	after := d.SealedMeta()
	if after.OpID != "1" || after.Envelope != "" || after.Version == m.Version || after.Attributes.Labels["kept"] != "ours" || after.Attributes.Form.Annotations["n"] != "v" {
		t.Errorf("%+v", after)
	}
	if d.text("spec", "encryptedData")["B"] != "AgB=" || d.word("spec", "template", "data", "C") == "" || d.text("metadata", "labels")["theirs"] != "x" || d.text("metadata", "annotations")["theirs"] != "y" {
		t.Errorf("%v", d)
	}
	// By hand: the operation is not told any more, nor the key.
	d.set("AgD=", "spec", "encryptedData", "B")
	if now := d.SealedMeta(); now.OpID != "" || now.Version == after.Version {
		t.Errorf("%+v", now)
	}
	if err := d.Seal(Seal{Key: key, Set: map[string]string{"A": "AgE="}, Whole: true, OpID: "2", Attributes: a}); err != nil {
		t.Fatal(err)
	}
	if now := d.SealedMeta(); now.Envelope != key.Envelope(sealing.ClusterWide) || len(now.Fields) != 1 || d.text("metadata", "annotations")["sealedsecrets.bitnami.com/namespace-wide"] != "" {
		t.Errorf("%+v", now)
	}
	if err := d.SetAttributes(providers.Attributes{}); err != nil {
		t.Fatal(err)
	}
	if now := d.SealedMeta(); !reflect.DeepEqual(now.Attributes, providers.Attributes{Form: providers.Form{Scope: "cluster-wide"}}) || d.word("spec", "encryptedData", "A") != "AgE=" {
		t.Errorf("let go of: %+v", now)
	}
	if !reflect.DeepEqual(before, document(t, theirs)) {
		t.Error("a copy was changed")
	}
}
