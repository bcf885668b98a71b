package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// maxJoined is how much text one expression may put together. The result may
// be a MiB; HCL would first make all of it, doubling its memory as it goes.
const maxJoined = 8 << 20

// manyParts is where an expression without loops is looked at: fewer names
// cannot reach far beyond maxJoined.
const manyParts = 64

// joinsMuch reports whether evaluating expr may join more than maxJoined bytes
// of text in templates, counting loops of templates as often as they run.
func (s *scope) joinsMuch(expr hclsyntax.Expression) bool {
	w := &joinWalker{scope: s, times: []int{1}}
	_ = hclsyntax.Walk(expr, w)
	return (w.loops || w.names > manyParts) && w.bytes > maxJoined
}

type joinWalker struct {
	scope *scope
	times []int // how often what is being walked runs, one more for each loop
	names int
	bytes int
	loops bool
}

func (w *joinWalker) Enter(n hclsyntax.Node) hcl.Diagnostics {
	times := w.times[len(w.times)-1]
	switch n := n.(type) {
	case *hclsyntax.TemplateJoinExpr:
		w.loops = true
		w.times = append(w.times, saturatedProduct(times, w.length(n.Tuple)))
	case *hclsyntax.ScopeTraversalExpr:
		w.names++
		if v, diags := n.Traversal.TraverseAbs(w.scope.context()); !diags.HasErrors() && isText(v) {
			w.bytes = min(w.bytes+saturatedProduct(times, len(v.AsString())), maxJoined+1)
		}
	}
	return nil
}

func (w *joinWalker) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(*hclsyntax.TemplateJoinExpr); ok {
		w.times = w.times[:len(w.times)-1]
	}
	return nil
}

// length returns how often the loop of a template runs. Where that depends on
// an outer loop it is 1000, a guess on the safe side of ordinary files.
func (w *joinWalker) length(tuple hclsyntax.Expression) int {
	loop, ok := tuple.(*hclsyntax.ForExpr)
	if !ok {
		return 1
	}
	v, diags := loop.CollExpr.Value(w.scope.context())
	if diags.HasErrors() {
		return 1000
	}
	if v.IsNull() || !v.IsKnown() || !canCount(v.Type()) {
		return 1
	}
	return v.LengthInt()
}

func canCount(t cty.Type) bool { return t.IsCollectionType() || t.IsTupleType() || t.IsObjectType() }

func saturatedProduct(a, b int) int {
	if a > maxJoined || b > maxJoined {
		return maxJoined + 1
	}
	return min(a*b, maxJoined+1)
}
