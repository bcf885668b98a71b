package render_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

const schemas = "../../docs/schema"

func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	path, err := filepath.Abs(filepath.Join(schemas, name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, doc []byte) {
	t.Helper()
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	if err := s.Validate(instance); err != nil {
		t.Errorf("%v in\n%.2000s", err, doc)
	}
}

// TestDocumentsAreValid renders every sample, and one of each document in
// which every field is set to hostile text, and holds it against its schema.
func TestDocumentsAreValid(t *testing.T) {
	var out bytes.Buffer
	compiled := map[string]*jsonschema.Schema{}
	check := func(name string, write func() error) {
		t.Helper()
		out.Reset()
		if err := write(); err != nil {
			t.Fatal(err)
		}
		if compiled[name] == nil {
			compiled[name] = schema(t, name)
		}
		validate(t, compiled[name], out.Bytes())
	}
	plans := []*planner.Plan{
		{FormatVersion: 1}, threeChanges(), manyApps(), dangerousMix(), nothing(), replicas(), relocations(), objects(), notesOnly(),
	}
	reports := []*planner.DriftReport{{FormatVersion: 1}, driftReport(), emptyDrift(), objectDrift()}
	snapshots := []*state.Snapshot{{}, snapshot()}
	applies := []render.ApplySummary{{}, applySummary()}
	diags, _ := diagnostics()
	lists := []hcl.Diagnostics{nil, diags}
	doctors := [][]render.Checkup{nil, checkups()}
	for _, h := range hostileStrings() {
		if len(h) > 4<<10 {
			continue
		}
		f := filler{text: h, closed: true}
		plans = append(plans, fillNew[planner.Plan](f))
		reports = append(reports, fillNew[planner.DriftReport](f))
		snapshots = append(snapshots, fillNew[state.Snapshot](f))
		applies = append(applies, *fillNew[render.ApplySummary](f))
		lists = append(lists, hostileDiagnostics(h))
		doctors = append(doctors, []render.Checkup{*fillNew[render.Checkup](f)})
	}
	for _, p := range plans {
		check("plan", func() error { return render.PlanJSON(&out, p) })
	}
	for _, r := range reports {
		check("drift", func() error { return render.DriftJSON(&out, r) })
	}
	for _, s := range snapshots {
		check("state", func() error { return render.StateJSON(&out, s) })
	}
	for _, a := range applies {
		check("apply", func() error { return render.ApplyJSON(&out, a) })
	}
	for _, l := range lists {
		check("diagnostics", func() error { return render.DiagnosticsJSON(&out, l) })
	}
	for _, d := range doctors {
		check("doctor", func() error { return render.DoctorJSON(&out, "plan", d, nil) })
	}
	check("state", func() error { return render.EntriesJSON(&out, entries()) })
}

// TestSchemaIsClosed makes sure that the schemas do reject something.
func TestSchemaIsClosed(t *testing.T) {
	s := schema(t, "plan")
	for name, spoil := range map[string]func(map[string]any){
		"unknown key":    func(m map[string]any) { m["value"] = "x" },
		"unknown action": func(m map[string]any) { m["changes"].([]any)[0].(map[string]any)["action"] = "destroy" },
		"unknown reason": func(m map[string]any) { m["changes"].([]any)[0].(map[string]any)["reason"] = "because" },
		"null changes":   func(m map[string]any) { m["changes"] = nil },
		"no summary":     func(m map[string]any) { delete(m, "summary") },
		"another format": func(m map[string]any) { m["format_version"] = json.Number("2") },
	} {
		var out bytes.Buffer
		if err := render.PlanJSON(&out, threeChanges()); err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(&out)
		if err != nil {
			t.Fatal(err)
		}
		spoil(doc.(map[string]any))
		if s.Validate(doc) == nil {
			t.Errorf("%s: valid", name)
		}
	}
}

// TestEnumsAreTheConstants compares the closed lists of the schemas with the
// constants of the packages that fill them.
func TestEnumsAreTheConstants(t *testing.T) {
	for _, test := range []struct {
		file, pkg, typ string
		path           []string
	}{
		{"common", "planner", "Action", []string{"$defs", "action", "enum"}},
		{"common", "planner", "Reason", []string{"$defs", "reason", "enum"}},
		{"common", "planner", "Severity", []string{"$defs", "diagnostic", "properties", "severity", "enum"}},
		{"drift", "planner", "DriftKind", []string{"$defs", "kind", "enum"}},
		{"apply", "internal/render", "Effect", []string{"$defs", "outcomes", "items", "properties", "effect", "enum"}},
	} {
		if diff := cmp.Diff(constants(t, test.pkg, test.typ), schemaList(t, test.file, test.path...)); diff != "" {
			t.Errorf("%s against %s.schema.json (-constants +schema):\n%s", test.typ, test.file, diff)
		}
	}
	roles := []string{state.RoleObject, state.RolePrimary, state.RoleReplica}
	if diff := cmp.Diff(roles, schemaList(t, "common", "$defs", "role", "enum")); diff != "" {
		t.Error(diff)
	}
	classes := []string{state.ClassGenerated, state.ClassManual, state.ClassSupplied, state.ClassTemplate}
	if diff := cmp.Diff(classes, schemaList(t, "state", "$defs", "entry", "properties", "class", "enum")); diff != "" {
		t.Error(diff)
	}
}

// TestEveryActionIsShown: each action has a look and a place in the summary.
func TestEveryActionIsShown(t *testing.T) {
	var p planner.Plan
	for _, action := range constants(t, "planner", "Action") {
		p.Changes = append(p.Changes, change(planner.Action(action), planner.ReasonNew, "a", "dev", action))
	}
	var out bytes.Buffer
	if err := render.PlanJSON(&out, &p); err != nil {
		t.Fatal(err)
	}
	var doc struct{ Summary map[string]int }
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for action, n := range doc.Summary {
		if n != 1 {
			t.Errorf("the summary counts %d %s, want 1", n, action)
		}
	}
	out.Reset()
	if err := render.PlanText(&out, &p, render.Style{}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out.Bytes(), []byte("not one of this version")) {
		t.Errorf("an action has no look:\n%s", out.String())
	}
}

// constants returns the values of all constants of one type, sorted.
func constants(t *testing.T, pkg, typ string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", pkg, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files: ", err)
	}
	var out []string
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typ {
				return true
			}
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					s, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, s)
				}
			}
			return true
		})
	}
	slices.Sort(out)
	return out
}

func schemaList(t *testing.T, file string, path ...string) []string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(schemas, file+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(src, &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range path {
		doc = doc.(map[string]any)[key]
	}
	var out []string
	for _, v := range doc.([]any) {
		out = append(out, v.(string))
	}
	slices.Sort(out)
	return out
}

// closedValue returns a value that the schema allows for a closed field.
func closedValue(owner reflect.Type, field string) (string, bool) {
	switch owner.Name() + "." + field {
	case "Change.Role", "Entry.Role":
		return state.RolePrimary, true
	case "FieldChange.Op":
		return "set", true
	case "Outcome.Effect":
		return string(render.EffectNone), true
	case "Finding.Status":
		return render.FindingWarning, true
	case "Entry.Class", "Field.Class":
		return state.ClassGenerated, true
	}
	return "", false
}
