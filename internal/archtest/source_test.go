package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ofTheProcess are the names that only main and internal/cli may use: all
// other packages are given what they need.
var ofTheProcess = map[string][]string{
	"os": {
		"Args", "Exit", "Stdin", "Stdout", "Stderr", "Getenv", "LookupEnv", "Environ", "Setenv", "Chdir", "Getwd",
		"UserHomeDir", "UserConfigDir",
	},
	"time":         {"Now", "Since", "Until"},
	"os/signal":    {"Notify", "NotifyContext", "Ignore"},
	"os/exec":      {"Command", "CommandContext"},
	"log":          {"*"},
	"math/rand":    {"*"},
	"math/rand/v2": {"*"},
	"unsafe":       {"*"},
}

var processPackages = []string{".", "internal/cli", "examples/mastodon/check"}

// maxFunction is where a reviewer is asked to look: the list is printed, and
// whether the function is one thing is the reviewer's decision.
const maxFunction = 100

// source is one file of the product: no test, no testdata, no nested module.
type source struct {
	pkg  string // path below the module
	file string
	fset *token.FileSet
	ast  *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipDir(root, p, d):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go"):
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(filepath.Dir(rel)), filepath.ToSlash(rel), fset, f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d source files", len(all))
	}
	return all
}

func skipDir(root, p string, d fs.DirEntry) bool {
	if p == root {
		return false
	}
	if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "build" {
		return true
	}
	_, err := os.Stat(filepath.Join(p, "go.mod"))
	return err == nil
}

// forTests reports whether the package is a suite or a fake: what it does with
// the clock is its own business.
func (s source) forTests() bool { return matchesAny(onlyTests, s.pkg) }

func (s source) at(n ast.Node) string {
	p := s.fset.Position(n.Pos())
	return s.file + ":" + strconv.Itoa(p.Line)
}

func TestProcessIsPassedIn(t *testing.T) {
	for _, s := range sources(t) {
		if s.forTests() || slices.Contains(processPackages, s.pkg) {
			continue
		}
		imported := importNames(s.ast)
		ast.Inspect(s.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			banned := ofTheProcess[imported[x.Name]]
			if slices.Contains(banned, sel.Sel.Name) || slices.Contains(banned, "*") {
				t.Errorf("%s: %s.%s: only main and internal/cli touch the process; pass it in", s.at(n), x.Name, sel.Sel.Name)
			}
			return true
		})
	}
}

// importNames returns the import path by the name a file knows it under.
func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, imp := range f.Imports {
		p := strings.Trim(imp.Path.Value, `"`)
		name := p[strings.LastIndex(p, "/")+1:]
		if imp.Name != nil {
			name = imp.Name.Name
		}
		names[name] = p
	}
	return names
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: do it where it is needed", s.at(f))
			}
		}
	}
}

// A package-level variable must be a constant in all but the language: it is
// declared with its value (or embedded) and nothing in the package writes it,
// writes into it or takes its address.
func TestPackageVariablesAreConstant(t *testing.T) {
	vars := map[string]map[string]string{} // package, name, place
	all := sources(t)
	for _, s := range all {
		for _, d := range s.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				collectVars(t, s, g, spec.(*ast.ValueSpec), vars)
			}
		}
	}
	for _, s := range all {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				checkWrites(t, s, f, vars[s.pkg])
			}
		}
	}
}

func collectVars(t *testing.T, s source, g *ast.GenDecl, v *ast.ValueSpec, vars map[string]map[string]string) {
	embedded := g.Doc != nil && slices.ContainsFunc(g.Doc.List, isEmbed) ||
		v.Doc != nil && slices.ContainsFunc(v.Doc.List, isEmbed)
	if len(v.Values) == 0 && !embedded {
		t.Errorf("%s: package variable %s has no value of its own, so something writes it later", s.at(v), v.Names[0].Name)
		return
	}
	for _, value := range v.Values {
		if call, ok := value.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.Ident); ok && (f.Name == "make" || f.Name == "new") {
				t.Errorf("%s: package variable %s is made empty, so something fills it later", s.at(v), v.Names[0].Name)
			}
		}
	}
	if vars[s.pkg] == nil {
		vars[s.pkg] = map[string]string{}
	}
	for _, n := range v.Names {
		if n.Name != "_" {
			vars[s.pkg][n.Name] = s.at(n)
		}
	}
}

func isEmbed(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }

// checkWrites looks for writes to package variables in one function. A name
// that the function declares itself is not the package's.
func checkWrites(t *testing.T, s source, f *ast.FuncDecl, vars map[string]string) {
	own := declared(f)
	complain := func(n ast.Node, target ast.Expr, what string) {
		name := root(target)
		if place, ok := vars[name]; ok && !own[name] {
			t.Errorf("%s: %s package variable %s (%s)", s.at(n), what, name, place)
		}
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, target := range n.Lhs {
					complain(n, target, "writes")
				}
			}
		case *ast.IncDecStmt:
			complain(n, n.X, "writes")
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				complain(n, n.X, "takes the address of")
			}
		case *ast.CallExpr:
			if fun, ok := n.Fun.(*ast.Ident); ok && (fun.Name == "delete" || fun.Name == "clear") {
				complain(n, n.Args[0], "removes from")
			}
		}
		return true
	})
}

// declared returns every name that f declares anywhere.
func declared(f *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, l := range n.Lhs {
					names[root(l)] = true
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				names[root(n.Key)] = true
				names[root(n.Value)] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.Field:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		}
		return true
	})
	return names
}

// root returns the variable that an expression reads or writes: a in a.b[c].
func root(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.SliceExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return ""
}

// TestLongFunctions fails nothing: it prints what a reviewer should look at
// (go test -v).
func TestLongFunctions(t *testing.T) {
	count := 0
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			count++
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunction {
				t.Logf("%s: %s is %d lines long", s.at(f), f.Name.Name, n)
			}
		}
	}
	t.Logf("%d functions looked at", count)
}
