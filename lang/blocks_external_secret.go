package lang

import (
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// loadExternalSecret evaluates an external_secret for one environment.
func (s *scope) loadExternalSecret() {
	args := s.decl.body.arguments
	u := s.kubernetesUsage()
	c := s.copied(u, "a key of an external_secret")
	d := &Delivery{
		Address:        c.Address,
		Form:           s.form(args, u),
		Labels:         c.Labels,
		Description:    c.Description,
		Protect:        c.Protect,
		Refresh:        s.duration(args["refresh"], u),
		DeletionPolicy: s.oneOf(args["deletion_policy"], u, "Retain", "Delete", "Merge"),
		CreationPolicy: s.oneOf(args["creation_policy"], u, "Owner", "Orphan", "Merge", "None"),
		Store:          s.deliveryStore(s.decl.body.block("store")),
		Rollouts:       s.rollout(),
		Range:          c.Range,
	}
	d.Provider, d.Path, _ = s.kubernetesPlace(u)
	for _, f := range c.Fields {
		if s.deliverable(f.Source) {
			d.Items = append(d.Items, f)
		}
	}
	s.l.cfg.Deliveries = append(s.l.cfg.Deliveries, d)
}

// deliveredFunctions are the derived functions that the operator can compute.
func deliveredFunctions() []string { return []string{"base64encode", "trimspace", "urlencode"} }

// deliverable reports whether the operator can make a value: it puts texts and
// what it fetches together, and knows few functions.
func (s *scope) deliverable(source *Source) bool {
	switch source.Kind {
	case Template:
		for _, part := range source.Args {
			if !s.deliverable(part) {
				return false
			}
		}
		return true
	case Computed:
		inner := source
		for inner.Kind == Computed && slices.Contains(deliveredFunctions(), inner.Func) && len(inner.Params) == 0 {
			inner = inner.Args[0]
		}
		if inner.Kind == Reference {
			return true
		}
		var calls []string
		for _, name := range deliveredFunctions() {
			calls = append(calls, name+"()")
		}
		s.report(errorAt(source.Range, "Not for the operator to compute",
			"An external_secret holds no value: the operator fetches each secret by itself. It knows references, templates, and %s of one secret. Make it a secret of the app, secret \"NAME\" { value = %s(…) }, and refer to that: secret.NAME.",
			wordChoice(calls), source.Func))
		return false
	}
	return true
}

// deliveryStore reads the store block, nil where there is none.
func (s *scope) deliveryStore(block *hclsyntax.Block) DeliveryStore {
	if block == nil {
		return DeliveryStore{Auth: "kubernetes", Range: s.decl.block.DefRange()}
	}
	s.l.labels(block)
	b := s.l.content(block.Body, schema{
		what:      "store",
		arguments: []string{"kind", "name", "existing", "service_account"},
		blocks:    []string{"auth"},
	})
	u := usage{what: "an argument of a store", each: inAppEach()}
	store := DeliveryStore{
		Kind:           s.oneOf(b.arguments["kind"], u, "SecretStore", "ClusterSecretStore"),
		Name:           s.objectName(b.arguments["name"], u),
		Existing:       s.boolean(b.arguments["existing"], false, u),
		Auth:           "kubernetes",
		ServiceAccount: s.objectName(b.arguments["service_account"], u),
		Range:          block.DefRange(),
	}
	auth := b.block("auth")
	if store.Existing {
		s.checkExisting(block, b, auth)
	}
	if auth != nil {
		if labels, ok := s.l.labels(auth, "METHOD"); ok {
			store.Auth = labels[0]
		}
		store.Arguments = s.authArguments(auth)
	}
	return store
}

// checkExisting: a store that is somebody else's is only named.
func (s *scope) checkExisting(block *hclsyntax.Block, b body, auth *hclsyntax.Block) {
	if b.arguments["name"] == nil {
		s.report(missing(block, "name", "the name that it has in the cluster"))
	}
	const detail = "This store is there already (existing = true), and how it signs in is set there. Remove %s."
	if auth != nil {
		s.report(errorAt(auth.DefRange(), "Block without use", detail, "the auth block"))
	}
	if attr := b.arguments["service_account"]; attr != nil {
		s.report(errorAt(attr.NameRange, "Argument without use", detail, attr.Name))
	}
}

// authArguments evaluates the arguments of an auth block. They go into an object
// of the cluster, which anybody reads: a credential is named, not given.
func (s *scope) authArguments(block *hclsyntax.Block) []Argument {
	for _, inner := range block.Body.Blocks {
		s.l.noBlockIn(inner, "auth")
	}
	u := usage{
		what: "an argument of the auth of a store", each: inAppEach(),
		flow: "It is written into an object of the cluster. A credential is a Secret there, and named: secret_ref = { name = \"NAME\", key = \"KEY\" }.",
	}
	var out []Argument
	for _, attr := range sortedAttributes(block.Body) {
		if s.l.diags.full() && s.l.diags.hasErrors() {
			break
		}
		v, ok := s.argument(attr, u)
		if !ok {
			continue
		}
		if _, isText := v.(string); isText && slices.Contains([]string{"secret_id", "token", "password", "private_key"}, attr.Name) {
			s.report(writtenSecret(attr.Expr.Range(), "%s is a secret, and this goes into an object that anybody reads. Put it into a Secret of the cluster and name that: secret_ref = { name = \"NAME\", key = \"KEY\" }.", attr.Name))
			continue
		}
		out = append(out, Argument{Name: attr.Name, Value: v, Range: attr.Expr.Range()})
	}
	return out
}
