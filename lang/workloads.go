package lang

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// workloadCapsule is the one cty type of a workload; see [readerCapsule].
func workloadCapsule() cty.Type { return cty.Capsule("workload", reflect.TypeFor[Workload]()) }

// workloadNames are the functions that name what runs programs in a cluster.
func workloadNames() []string { return []string{"deployment", "statefulset", "daemonset"} }

func workloadFunction(kind string, typ cty.Type) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "namespace", Type: cty.String}, {Name: "name", Type: cty.String}},
		Type:   function.StaticReturnType(typ),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			w := &Workload{Kind: kind, Namespace: args[0].AsString(), Name: args[1].AsString()}
			for _, part := range []struct{ what, text string }{{"namespace", w.Namespace}, {"name", w.Name}} {
				odd := strings.Contains(part.text, "/") || strings.ContainsFunc(part.text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
				switch {
				case part.text == "":
					return cty.NilVal, fmt.Errorf("the %s is empty; name it", part.what)
				case odd || len(part.text) > 253:
					return cty.NilVal, fmt.Errorf("no cluster has such a %s: it is made of small letters, digits, - and a dot", part.what)
				}
			}
			return cty.CapsuleVal(typ, w), nil
		},
	})
}

// rollout evaluates which workloads are restarted when what the block makes
// changes. Each element of a list written out has its own place.
func (s *scope) rollout() []Workload {
	attr := s.decl.body.arguments["rollout"]
	if attr == nil {
		return nil
	}
	u := usage{what: "the rollout of " + oneOf(s.decl.kind), each: inAppEach(), workloads: true}
	if !s.lint(attr.Expr, u) {
		return nil
	}
	if s.decl.body.arguments["output"] != nil {
		s.report(errorAt(attr.NameRange, "Nothing to restart", "This block writes a file, and what reads it restarts the programs. Remove rollout, or output."))
		return nil
	}
	elements := []hclsyntax.Expression{attr.Expr}
	if list, ok := s.choose(attr.Expr, u).(*hclsyntax.TupleConsExpr); ok {
		elements = list.Exprs
	}
	var out []Workload
	for _, element := range elements {
		if v, ok := s.evalLinted(element); ok {
			s.addWorkloads(&out, v, element.Range())
		}
	}
	return out
}

// addWorkloads takes one workload, or a list of them.
func (s *scope) addWorkloads(out *[]Workload, v cty.Value, at hcl.Range) {
	typ := v.Type()
	switch {
	case !v.IsNull() && typ.Equals(s.l.workload):
		w := *v.EncapsulatedValue().(*Workload)
		for _, other := range *out {
			if other.Kind == w.Kind && other.Namespace == w.Namespace && other.Name == w.Name {
				s.report(errorAt(at, "Workload named twice", "This workload is in the list already."))
				return
			}
		}
		w.Range = at
		*out = append(*out, w)
	case v.IsNull() || !(typ.IsTupleType() || typ.IsListType() || typ.IsSetType()):
		s.report(errorAt(at, "Not a workload", "A workload is a call such as deployment(\"NAMESPACE\", \"NAME\"), or a list of them; there are %s.", wordList(workloadNames())))
	default:
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			s.addWorkloads(out, element, at)
		}
	}
}
