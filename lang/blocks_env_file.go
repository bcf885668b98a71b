package lang

import "regexp"

func envFileSchema() schema {
	return schema{
		what:      "env_file",
		arguments: []string{"data", "provider", "path", "environments", "protect", "description", "labels"},
	}
}

func (l *loader) declareEnvFile(d *decl) {
	attr := d.body.arguments["data"]
	if attr == nil {
		l.diags.add(missing(d.block, "data", "data = { NAME = secret.x, … }"))
		return
	}
	d.items = l.items(attr, envName(), "variable", "a letter or _, then letters, digits and _, as programs read it from their environment")
}

// envName is the portable form of an environment variable's name (POSIX.1-2017,
// section 8.1), small letters allowed.
func envName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`) }

// loadEnvFile evaluates an env_file for one environment.
func (s *scope) loadEnvFile() {
	args := s.decl.body.arguments
	env := s.l.cfg.Environments[s.env]
	u := usage{what: "an argument of an env_file", each: inAppEach()}
	file := &Secret{
		Address:         s.owner,
		Path:            s.filled(args["path"], u),
		Labels:          s.labelsOf(args["labels"], u),
		Description:     s.text(args["description"], u),
		Protect:         s.boolean(args["protect"], env.Protect, u),
		OnOutsideChange: s.onOutsideChange(nil, u),
		Range:           s.decl.block.DefRange(),
		PathRange:       s.decl.block.DefRange(),
	}
	if attr := args["path"]; attr != nil {
		file.PathRange = attr.Range()
	}
	if attr := args["provider"]; attr != nil {
		file.Store = s.providerRef(attr.Expr, u)
	} else {
		file.Store = s.l.storeOf(s.env)
	}
	b := sourceBuilder{scope: s, usage: usage{what: "a variable of an env_file", each: inAppEach(), secrets: true}, plainText: true}
	for _, i := range s.decl.items {
		b.name = i.name
		if source := b.build(i.expr); source != nil {
			file.Fields = append(file.Fields, Field{Name: i.name, Source: source})
		}
	}
	s.l.cfg.Secrets = append(s.l.cfg.Secrets, file)
}
