package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner/generate"
	"github.com/cofferhq/coffer/state"
)

// PolicyFindings returns what the policy pack of a configuration finds in the
// configuration alone, by rule and address. A rule that fails gives errors, one
// that warns warnings; each finding names its rule.
func PolicyFindings(cfg *lang.Config) []Diagnostic {
	j := newJudge(cfg)
	if j == nil {
		return nil
	}
	j.configuration()
	return j.findings
}

// PolicyFindings returns what the policy pack finds in the configuration and in
// what the state will say when p is done, at a time, about the addresses that
// pick picks. A value that p replaces is not too old.
func (d *Desired) PolicyFindings(s *state.Snapshot, p *Plan, at time.Time, pick func(addr.Address) bool) []Diagnostic {
	j := newJudge(d.cfg)
	if j == nil {
		return nil
	}
	j.ages(d, s, p, at)
	j.configuration()
	return slices.DeleteFunc(j.findings, func(f Diagnostic) bool { return !pick(*f.Address) })
}

// isSelected reports whether the plan is about an address.
func (x *differ) isSelected(a addr.Address) bool {
	r := x.d.byAddress[a]
	return x.matches(a) || r != nil && x.selected[r.n]
}

// judge holds a configuration to its policy pack.
type judge struct {
	cfg      *lang.Config
	pack     *lang.PolicyPack
	findings []Diagnostic
	tooOld   map[addr.Address]bool // found by age already
	counts   generate.Counts
}

func newJudge(cfg *lang.Config) *judge {
	if cfg.Settings.PolicyPack == nil {
		return nil
	}
	return &judge{cfg: cfg, pack: cfg.Settings.PolicyPack, tooOld: map[addr.Address]bool{}}
}

// find files a finding. said follows the address, and is the same for whatever
// is wrong in the same way: those are shown as one.
func (j *judge) find(rule *lang.PolicyRule, a addr.Address, at *Range, said, detail string) {
	severity := SeverityWarning
	if rule.Fail {
		severity = SeverityError
	}
	j.findings = append(j.findings, Diagnostic{
		Severity: severity, Rule: rule.Name, Address: &a, Range: at,
		Summary: a.String() + " " + said,
		Detail:  detail + fmt.Sprintf(" (Rule %s of the policy pack.)", rule.Name),
	})
}

func (j *judge) configuration() {
	for _, judged := range []struct {
		rule string
		look func(*lang.PolicyRule)
	}{
		{lang.RuleMaxAge, j.mayAge},
		{lang.RuleMinEntropy, j.entropy},
		{lang.RuleProductionProtected, j.unprotected},
		{lang.RuleProductionReplica, j.unreplicated},
		{lang.RuleProductionSource, j.sharedSources},
		{lang.RuleReaderWider, j.widerReaders},
		{lang.RuleWithoutReader, j.unread},
	} {
		if rule := j.pack.Rule(judged.rule); rule != nil {
			judged.look(rule)
		}
	}
	slices.SortStableFunc(j.findings, func(a, b Diagnostic) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), a.Address.Compare(*b.Address))
	})
}

// ages finds the values that are too old now and that p does not replace.
func (j *judge) ages(d *Desired, s *state.Snapshot, p *Plan, at time.Time) {
	rule := j.pack.Rule(lang.RuleMaxAge)
	if rule == nil {
		return
	}
	changes := make(map[addr.Address]*Change, len(p.Changes))
	for i := range p.Changes {
		changes[p.Changes[i].Address] = &p.Changes[i]
	}
	recorded := recordedPrimaries(j.cfg.Moved, s)
	limit := lang.FormatDuration(rule.Age)
	for _, r := range d.Resources {
		if r.Role != state.RolePrimary || r.Class == state.ClassTemplate {
			continue
		}
		e := recorded(r.Address)
		if e == nil || e.Version == "" || e.RotatedAt.IsZero() || at.Sub(e.RotatedAt) <= rule.Age {
			continue
		}
		if c := changes[r.Address]; c != nil && restartsClock(c, r, e.Fields, false) {
			continue
		}
		j.tooOld[r.Address] = true
		j.find(rule, r.Address, r.Range, "is older than "+limit,
			"Give it a new value with `coffer rotate ADDRESS`, or `coffer secret set ADDRESS` where a person supplies it; `coffer rotation` shows its age.")
	}
}

// mayAge finds what nothing makes due in time.
func (j *judge) mayAge(rule *lang.PolicyRule) {
	limit := lang.FormatDuration(rule.Age)
	for _, s := range j.cfg.Secrets {
		r := s.Rotation
		if classOf(s) == state.ClassTemplate || j.tooOld[s.Address] || r.Every > 0 && r.Every <= rule.Age && !r.Never {
			continue
		}
		j.find(rule, s.Address, rangeOf(s.Range), "may grow older than "+limit,
			fmt.Sprintf("Give it a rotation that makes it due in time: every = %q or less.", limit))
	}
}

// entropy finds what generators make and somebody might guess.
func (j *judge) entropy(rule *lang.PolicyRule) {
	for _, s := range j.cfg.Secrets {
		for _, f := range s.Fields {
			if f.Source.Kind != lang.Generated { // which is always a whole value
				continue
			}
			bits, err := generate.Entropy(f.Source.Func, f.Source.Params, &j.counts)
			if err != nil || bits >= float64(rule.Bits) { // lang has checked the call
				continue
			}
			what := ""
			if f.Name != "" {
				what = " in its field " + f.Name
			}
			j.find(rule, s.Address, rangeOf(f.Source.Range), fmt.Sprintf("has fewer than %d bits of entropy%s", rule.Bits, what),
				fmt.Sprintf("%s has %.1f bits. Ask its generator for more; the next rotation, or `coffer rotate ADDRESS`, makes the value.", f.Source.Text(), bits))
		}
	}
}

func (j *judge) unprotected(rule *lang.PolicyRule) {
	for _, s := range j.cfg.Secrets {
		if j.pack.IsProduction(s.Address.Environment) && !s.Protect {
			j.find(rule, s.Address, rangeOf(s.Range), "is not protected",
				"Write protect = true in its environment, or in its block.")
		}
	}
}

// unreplicated finds secrets that are kept once. An env_file is made again from
// its secrets.
func (j *judge) unreplicated(rule *lang.PolicyRule) {
	for _, s := range j.cfg.Secrets {
		copied := slices.ContainsFunc(s.Replicas, func(ref string) bool { return ref != s.Store })
		if s.Address.Kind == addr.KindSecret && j.pack.IsProduction(s.Address.Environment) && !copied {
			j.find(rule, s.Address, rangeOf(s.Range), "has no replica",
				"Write replicas = [STORE] in its environment, for a copy on another store.")
		}
	}
}

// sharedSources finds what production takes from the same place as another
// environment.
func (j *judge) sharedSources(rule *lang.PolicyRule) {
	users := map[string][]addr.Address{}
	eachSupplied(j.cfg, func(s *lang.Secret, source *lang.Source) {
		users[source.Text()] = append(users[source.Text()], s.Address)
	})
	eachSupplied(j.cfg, func(s *lang.Secret, source *lang.Source) {
		if !j.pack.IsProduction(s.Address.Environment) {
			return
		}
		for _, other := range users[source.Text()] {
			if other.Environment != s.Address.Environment {
				j.find(rule, s.Address, rangeOf(source.Range), "has the same source as environment "+other.Environment,
					fmt.Sprintf("%s is also the source of %s. Give production one of its own, for example with ${each.environment} in the name.", source.Text(), other))
				return
			}
		}
	})
}

// eachSupplied calls f for every supplied source of every secret.
func eachSupplied(cfg *lang.Config, f func(*lang.Secret, *lang.Source)) {
	for _, s := range cfg.Secrets {
		for _, field := range s.Fields {
			switch field.Source.Kind {
			case lang.FromEnv, lang.FromFile, lang.FromDotenv, lang.FromSops:
				f(s, field.Source)
			}
		}
	}
}

// widerReaders finds principals that the policies of several apps name.
func (j *judge) widerReaders(rule *lang.PolicyRule) {
	apps := map[string][]string{}
	for _, p := range j.cfg.Policies {
		for _, r := range p.Readers {
			if key := readerKey(r); !slices.Contains(apps[key], p.Address.App) {
				apps[key] = append(apps[key], p.Address.App)
			}
		}
	}
	for _, p := range j.cfg.Policies {
		for _, r := range p.Readers {
			others := slices.DeleteFunc(slices.Clone(apps[readerKey(r)]), func(app string) bool { return app == p.Address.App })
			if len(others) == 0 {
				continue
			}
			slices.Sort(others)
			j.find(rule, p.Address, rangeOf(r.Range), "names a reader that is wider than its app",
				fmt.Sprintf("%s also reads secrets of %s. Give each app an identity of its own.", readerKey(r), strings.Join(others, ", ")))
		}
	}
}

func readerKey(r lang.Reader) string {
	args := make([]string, len(r.Args))
	for i, arg := range r.Args {
		args[i] = fmt.Sprintf("%q", arg)
	}
	return r.Func + "(" + strings.Join(args, ", ") + ")"
}

// unread finds secrets that no policy covers, and that nothing is made of which
// one covers.
func (j *judge) unread(rule *lang.PolicyRule) {
	read := map[addr.Address]bool{}
	secrets := make(map[addr.Address]*lang.Secret, len(j.cfg.Secrets))
	for _, s := range j.cfg.Secrets {
		secrets[s.Address] = s
	}
	var reach func(addr.Address)
	reach = func(a addr.Address) {
		if s := secrets[a]; s != nil && !read[a] {
			read[a] = true
			for _, need := range needs(s) {
				reach(need)
			}
		}
	}
	for _, p := range j.cfg.Policies {
		for _, a := range p.Secrets {
			reach(a)
		}
	}
	for _, s := range j.cfg.Secrets {
		if !read[s.Address] {
			j.find(rule, s.Address, rangeOf(s.Range), "has no reader",
				"No policy of its app covers it, nor anything that is made of it. Name who reads it in a policy block, or remove it.")
		}
	}
}
