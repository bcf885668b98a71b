package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/cofferhq/coffer/lang"
)

// Digest names the evaluated configuration of one resource. Two digests are
// equal when apply would do the same for both; a comment or a moved line does
// not change it. It is computed from configuration alone, never from a value.
func (r *Resource) Digest() string {
	form := map[string]any{
		"address":  r.Address.String(),
		"location": []string{r.Location.Provider, r.Location.Kind, r.Location.Path},
		"store":    r.Store,
		"role":     r.Role,
		"document": r.Document,
		"protect":  r.Protect,
		"import":   r.Import != nil,
	}
	if len(r.Rolls) > 0 { // its document is the plan's
		form["document"], form["rolls"] = "", r.Rolls
	}
	if s := r.Secret; s != nil {
		form["fields"] = sourceTexts(s)
		form["single"] = s.Single
		form["key"], form["format"] = s.Key, s.Format
		form["labels"], form["description"] = s.Labels, s.Description
		if !r.Form.IsZero() {
			form["form"] = r.Form
		}
		form["owner"], form["generation"] = s.Owner, s.Generation
		form["outside"] = s.OnOutsideChange
		form["rotation"] = []any{s.Rotation.Never, s.Rotation.Every, s.Rotation.Strategy}
	}
	text, err := json.Marshal(form)
	if err != nil { // strings, numbers and maps of them always encode
		panic(err)
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:16])
}

// sourceTexts returns the canonical source of each field.
func sourceTexts(s *lang.Secret) map[string]string {
	texts := make(map[string]string, len(s.Fields))
	for _, f := range s.Fields {
		texts[f.Name] = f.Source.Text()
	}
	return texts
}
