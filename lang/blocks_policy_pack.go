package lang

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// PolicyPack is the policy_pack block: rules that every plan is held to.
type PolicyPack struct {
	// Production are the patterns that say which environments are production: a
	// name, in which * stands for any text.
	Production []string
	Rules      []*PolicyRule // in name order, without those that are off
	Range      hcl.Range

	production hcl.Range // where Production is written
}

// PolicyRule is one rule of the policy pack.
type PolicyRule struct {
	Name  string        // one of [PolicyRuleNames]
	Fail  bool          // a finding is an error, not a warning
	Age   time.Duration // of max_age
	Bits  int           // of min_entropy
	Range hcl.Range
}

// The rules of the policy pack. Their names are a contract: they are the rule
// of a finding in every format.
const (
	RuleMaxAge              = "max_age"
	RuleMinEntropy          = "min_entropy"
	RuleProductionProtected = "production_protected"
	RuleProductionReplica   = "production_replica"
	RuleProductionSource    = "production_source_shared"
	RuleReaderWider         = "reader_wider_than_app"
	RuleWithoutReader       = "secret_without_reader"
)

// PolicyRuleNames lists the rules, sorted.
func PolicyRuleNames() []string {
	return []string{
		RuleMaxAge, RuleMinEntropy, RuleProductionProtected, RuleProductionReplica, RuleProductionSource,
		RuleReaderWider, RuleWithoutReader,
	}
}

// defaultProduction says which environments are production where the block does
// not.
func defaultProduction() []string { return []string{"prod", "production", "prod-*", "production-*"} }

// Rule returns the rule of a name, nil where it is off.
func (p *PolicyPack) Rule(name string) *PolicyRule {
	if p == nil {
		return nil
	}
	for _, r := range p.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// IsProduction reports whether an environment counts as production.
func (p *PolicyPack) IsProduction(environment string) bool {
	return slices.ContainsFunc(p.Production, func(pattern string) bool {
		ok, _ := path.Match(pattern, environment) // the form was checked
		return ok
	})
}

// loadPolicyPack reads the policy_pack block. All of it is plain text: rules
// that a variable could switch off would be rules of whoever sets the variable.
func (l *loader) loadPolicyPack(block *hclsyntax.Block) {
	l.labels(block)
	b := l.content(block.Body, schema{
		what: "policy_pack block", arguments: []string{"production"}, blocks: []string{"rule"}, repeat: []string{"rule"},
	})
	pack := &PolicyPack{Production: defaultProduction(), Range: block.DefRange(), production: block.DefRange()}
	l.cfg.Settings.PolicyPack = pack
	if attr := b.arguments["production"]; attr != nil {
		pack.production = attr.Range()
		if patterns := l.productionPatterns(attr); len(patterns) > 0 {
			pack.Production = patterns
		}
	}
	if len(b.blocks) == 0 {
		l.diags.add(errorAt(block.DefRange(), "Missing block", "A policy pack holds rules:\n\nrule \"production_protected\" {\n  level = \"fail\"\n}"))
	}
	seen := map[string]hcl.Range{}
	for _, inner := range b.blocks {
		labels, ok := l.labels(inner, "NAME")
		if !ok {
			continue
		}
		if first, twice := seen[labels[0]]; twice {
			l.twiceFix(fmt.Sprintf("Rule %q", labels[0]), first, inner.DefRange(), "Keep one of them.")
			continue
		}
		seen[labels[0]] = inner.DefRange()
		if rule := l.policyRule(labels[0], inner); rule != nil {
			pack.Rules = append(pack.Rules, rule)
		}
	}
	slices.SortFunc(pack.Rules, func(a, b *PolicyRule) int { return strings.Compare(a.Name, b.Name) })
}

// policyRule returns a rule that is on, or nil.
func (l *loader) policyRule(name string, block *hclsyntax.Block) *PolicyRule {
	if !slices.Contains(PolicyRuleNames(), name) {
		l.diags.add(errorAt(block.LabelRanges[0], "Unknown rule", "There is no rule %q.%s", name, didYouMean(name, PolicyRuleNames())))
		return nil
	}
	s := schema{what: fmt.Sprintf("rule %q", name), arguments: []string{"level"}}
	switch name {
	case RuleMaxAge:
		s.arguments = append(s.arguments, "age")
	case RuleMinEntropy:
		s.arguments = append(s.arguments, "bits")
	}
	b := l.content(block.Body, s)
	rule := &PolicyRule{Name: name, Range: block.DefRange()}
	level := b.arguments["level"]
	if level == nil {
		l.diags.add(missing(block, "level", `level = "warn", "fail" or "off"`))
		return nil
	}
	text := l.literalText(level)
	if levels := []string{"warn", "fail", "off"}; text != "" && !slices.Contains(levels, text) {
		l.diags.add(errorAt(level.Expr.Range(), "Unknown word", "level cannot be %q.%s", text, didYouMean(text, levels)))
	}
	rule.Fail = text == "fail"
	rule.Age = l.ruleAge(block, b.arguments["age"], name == RuleMaxAge && text != "off")
	rule.Bits = l.ruleBits(block, b.arguments["bits"], name == RuleMinEntropy && text != "off")
	if text == "off" {
		return nil
	}
	return rule
}

func (l *loader) ruleAge(block *hclsyntax.Block, attr *hclsyntax.Attribute, required bool) time.Duration {
	if attr == nil {
		if required {
			l.diags.add(missing(block, "age", `for example age = "90d"`))
		}
		return 0
	}
	text := l.literalText(attr)
	if text == "" {
		return 0
	}
	d, err := ParseDuration(text)
	if err == nil && d == 0 {
		err = fmt.Errorf("it must be more than zero")
	}
	if err != nil {
		l.diags.add(errorAt(attr.Expr.Range(), "Invalid duration", "%s: %s.", attr.Name, err))
	}
	return d
}

// mostBits is the largest figure that a rule may ask for: no key has more.
const mostBits = 1024

func (l *loader) ruleBits(block *hclsyntax.Block, attr *hclsyntax.Attribute, required bool) int {
	if attr == nil {
		if required {
			l.diags.add(missing(block, "bits", "for example bits = 128"))
		}
		return 0
	}
	if literal, ok := attr.Expr.(*hclsyntax.LiteralValueExpr); ok && !literal.Val.IsNull() && literal.Val.Type() == cty.Number {
		n, _ := literal.Val.AsBigFloat().Int64()
		if literal.Val.AsBigFloat().IsInt() && n > 0 && n <= mostBits {
			return int(n)
		}
	}
	l.diags.add(errorAt(attr.Expr.Range(), "Not a whole number", "%s is a whole number from 1 to %d, written out here.", attr.Name, mostBits))
	return 0
}

// productionForm is the name of an environment with * for any text.
func productionForm() *regexp.Regexp { return regexp.MustCompile(`^[a-z*][a-z0-9_*-]{0,62}$`) }

func (l *loader) productionPatterns(attr *hclsyntax.Attribute) []string {
	list, ok := attr.Expr.(*hclsyntax.TupleConsExpr)
	if !ok || len(list.Exprs) == 0 {
		l.diags.add(errorAt(attr.Expr.Range(), "Not a list", `production is a list of names, written out here: ["production", "prod-*"]. Without it these are %s.`, wordList(defaultProduction())))
		return nil
	}
	var out []string
	for _, element := range list.Exprs {
		v, diags := element.Value(nil)
		switch {
		case diags.HasErrors() || !isText(v) || !productionForm().MatchString(v.AsString()):
			l.diags.add(errorAt(element.Range(), "Invalid name", "This is the name of an environment in quotes, in which * stands for any text."))
		case slices.Contains(out, v.AsString()):
			l.diags.add(errorAt(element.Range(), "Environment named twice", "%q is in the list already.", v.AsString()))
		default:
			out = append(out, v.AsString())
		}
	}
	return out
}

// checkPolicyPack says when rules about production are about nothing: a name
// that is misspelt would switch them off.
func (l *loader) checkPolicyPack() {
	pack := l.cfg.Settings.PolicyPack
	if pack == nil || len(l.envs) == 0 || slices.ContainsFunc(l.envs, pack.IsProduction) {
		return
	}
	for _, r := range pack.Rules {
		if strings.HasPrefix(r.Name, "production_") {
			l.diags.add(warningAt(pack.production, "No production environment",
				"Production is what %s names, and that is none of the environments here: %s. So the rules about production find nothing. Name yours: production = [\"…\"].",
				wordList(pack.Production), strings.Join(l.envs, ", ")))
			return
		}
	}
}
