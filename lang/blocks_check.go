package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// factNames are the functions that checks may ask, as in [CheckFacts].
func factNames() []string { return []string{"overdue", "due", "conflicts", "unprotected"} }

// FailedAssert is an assertion that does not hold.
type FailedAssert struct {
	Message string
	Range   hcl.Range
}

func (l *loader) loadChecks() {
	seen := map[string]hcl.Range{}
	for _, block := range l.blocks["check"] {
		name, ok := l.name(block)
		if !ok {
			continue
		}
		if first, twice := seen[name]; twice {
			l.twice(fmt.Sprintf("Check %q", name), first, block.DefRange())
			continue
		}
		seen[name] = block.DefRange()
		l.cfg.Checks = append(l.cfg.Checks, l.loadCheck(name, block))
	}
	slices.SortFunc(l.cfg.Checks, func(a, b *Check) int { return strings.Compare(a.Name, b.Name) })
}

func (l *loader) loadCheck(name string, block *hclsyntax.Block) *Check {
	c := &Check{Name: name, Range: block.DefRange(), deadline: l.opts.Deadline}
	b := l.content(block.Body, schema{what: "check", blocks: []string{"assert"}, repeat: []string{"assert"}})
	if len(b.blocks) == 0 {
		l.diags.add(errorAt(block.DefRange(), "Missing block", "A check holds assert blocks:\n\nassert {\n  condition     = …\n  error_message = \"…\"\n}"))
	}
	for _, inner := range b.blocks {
		l.labels(inner)
		ab := l.content(inner.Body, schema{what: "assert", arguments: []string{"condition", "error_message"}})
		condition, message := ab.arguments["condition"], ab.arguments["error_message"]
		if condition == nil || message == nil {
			l.diags.add(missing(inner, "condition and error_message", `condition = … and error_message = "…"`))
			continue
		}
		a := Assert{Range: inner.DefRange(), condition: condition.Expr, message: message.Expr, eval: l.base}
		if l.tryAssert(a, condition.Expr, message.Expr) {
			c.Asserts = append(c.Asserts, a)
		}
	}
	return c
}

// tryAssert evaluates an assertion over answers that are not known yet, which
// finds every mistake of type and name.
func (l *loader) tryAssert(a Assert, condition, message hclsyntax.Expression) bool {
	s := l.global()
	u := usage{what: "an assertion", facts: true}
	if ok := s.lint(condition, u); !s.lint(message, u) || !ok {
		return false
	}
	unknown := func(string) []string { return nil }
	a.eval = factContext(a.eval, CheckFacts{unknown, unknown, unknown, unknown}, l.envs, true)
	_, _, diags := a.evaluate()
	l.diags.add(diags...)
	return !diags.HasErrors()
}

// Evaluate says which assertions of c do not hold, given what the state tells.
// Diagnostics are those of evaluation itself: a value of the wrong type, or an
// evaluation that takes longer than [Options.Deadline].
func (c *Check) Evaluate(facts CheckFacts) (failed []FailedAssert, diags hcl.Diagnostics) {
	var done checkResult // left to the goroutine after a deadline
	if late := within(c.deadline, baseMemory, func() { done = c.evaluate(facts) }); late != nil {
		late.Subject = &c.Range
		return nil, hcl.Diagnostics{late}
	}
	return done.failed, done.diags
}

type checkResult struct {
	failed []FailedAssert
	diags  hcl.Diagnostics
}

func (c *Check) evaluate(facts CheckFacts) checkResult {
	var r checkResult
	for _, a := range c.Asserts {
		a.eval = factContext(a.eval, facts, nil, false)
		holds, message, diags := a.evaluate()
		r.diags = append(r.diags, diags...)
		if !holds && !diags.HasErrors() {
			r.failed = append(r.failed, FailedAssert{Message: message, Range: a.Range})
		}
	}
	return r
}

func (a *Assert) evaluate() (holds bool, message string, diags hcl.Diagnostics) {
	condition, diags := a.condition.Value(a.eval)
	text, more := a.message.Value(a.eval)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return false, "", diags
	}
	condition, err := convert.Convert(condition, cty.Bool)
	if err != nil || condition.IsNull() {
		return false, "", append(diags, errorAt(a.condition.Range(), "Wrong type", "The condition of an assertion is true or false."))
	}
	text, err = convert.Convert(text, cty.String)
	if err != nil || text.IsNull() {
		return false, "", append(diags, errorAt(a.message.Range(), "Wrong type", "error_message is text."))
	}
	if !condition.IsKnown() {
		return true, "", diags
	}
	holds = condition.True()
	if text.IsKnown() {
		message = text.AsString()
	}
	return holds, message, diags
}

// factContext makes the facts callable. With unknown they answer with lists
// that are not known, and only for environments in envs.
func factContext(base *hcl.EvalContext, facts CheckFacts, envs []string, unknown bool) *hcl.EvalContext {
	ctx := base.NewChild()
	ctx.Functions = map[string]function.Function{}
	for name, ask := range map[string]func(string) []string{
		"overdue": facts.Overdue, "due": facts.Due, "conflicts": facts.Conflicts, "unprotected": facts.Unprotected,
	} {
		ctx.Functions[name] = factFunction(ask, envs, unknown)
	}
	return ctx
}

func factFunction(ask func(string) []string, envs []string, unknown bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "environment", Type: cty.String}},
		Type:   function.StaticReturnType(cty.List(cty.String)),
		Impl: func(args []cty.Value, typ cty.Type) (cty.Value, error) {
			env := args[0].AsString()
			if unknown {
				if !slices.Contains(envs, env) {
					return cty.NilVal, unknownEnvironment(env, envs)
				}
				return cty.UnknownVal(typ), nil
			}
			var list []cty.Value
			if ask != nil {
				for _, text := range ask(env) {
					list = append(list, cty.StringVal(text))
				}
			}
			if len(list) == 0 {
				return cty.ListValEmpty(cty.String), nil
			}
			return cty.ListVal(list), nil
		},
	})
}

// unknownEnvironment is an error, not a diagnostic: HCL puts a place and a stop
// to what a function returns.
func unknownEnvironment(name string, envs []string) error {
	if near := suggest(name, envs); near != "" {
		return fmt.Errorf("there is no environment %q; did you mean %q", name, near)
	}
	return fmt.Errorf("there is no environment %q; there are %s", name, wordList(envs))
}
