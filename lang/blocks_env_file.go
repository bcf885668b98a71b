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
	d.items = l.items(attr, envName().MatchString, "variable", "a letter or _, then letters, digits and _, as programs read it from their environment")
}

// envName is the portable form of an environment variable's name (POSIX.1-2017,
// section 8.1), small letters allowed.
func envName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`) }

// loadEnvFile evaluates an env_file for one environment.
func (s *scope) loadEnvFile() {
	args := s.decl.body.arguments
	u := usage{what: "an argument of an env_file", each: inAppEach()}
	file := s.copied(u, "a variable of an env_file")
	file.Path = s.filled(args["path"], u)
	if attr := args["path"]; attr != nil {
		file.PathRange = attr.Range()
	}
	if attr := args["provider"]; attr != nil {
		file.Store = s.providerRef(attr.Expr, u)
	} else {
		file.Store = s.l.storeOf(s.env)
	}
	s.l.cfg.Secrets = append(s.l.cfg.Secrets, file)
}

// copied is what all blocks have that are made of secrets; what is how messages
// call an entry of its data.
func (s *scope) copied(u usage, what string) *Secret {
	args := s.decl.body.arguments
	return &Secret{
		Address:         s.owner,
		Labels:          s.labelsOf(args["labels"], u),
		Description:     s.text(args["description"], u),
		Protect:         s.boolean(args["protect"], s.l.cfg.Environments[s.env].Protect, u),
		OnOutsideChange: s.onOutsideChange(nil, u),
		Fields:          s.data(what),
		Range:           s.decl.block.DefRange(),
		PathRange:       s.decl.block.DefRange(),
	}
}

// data builds the sources of the entries of a block that is made of secrets.
func (s *scope) data(what string) []Field {
	var fields []Field
	b := sourceBuilder{scope: s, usage: usage{what: what, each: inAppEach(), secrets: true}, plainText: true}
	for _, i := range s.decl.items {
		b.name = i.name
		if source := b.build(i.expr); source != nil {
			fields = append(fields, Field{Name: i.name, Source: source})
		}
	}
	return fields
}
