package vault

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/acl"
)

// Arguments of blocks that are not settings of the server's object.
const (
	argDocument = "document" // of a policy_document
	argPolicies = "policies" // of a role: what is attached to it
	argMount    = "mount"    // of a role: where its auth method is
	argOptions  = "options"  // of a mount: { version = "2" }
)

// tokenArguments are those of every role: what its tokens are like.
func tokenArguments(more ...argument) []argument {
	return append(more,
		argument{name: "token_ttl", shape: aDuration},
		argument{name: "token_max_ttl", shape: aDuration},
		argument{name: "token_explicit_max_ttl", shape: aDuration},
		argument{name: "token_period", shape: aDuration},
		argument{name: "token_num_uses", shape: aNumber},
		argument{name: "token_bound_cidrs", shape: aSet},
		argument{name: "token_strictly_bind_ip", shape: aFlag},
		argument{name: "token_no_default_policy", shape: aFlag},
		argument{name: "token_type", shape: aText, standard: "default"},
	)
}

// roleArguments are the arguments of a role by the names of the API, nil for a
// type that cannot be declared.
func roleArguments(typ string) []argument {
	switch typ {
	case typeAppRole:
		return tokenArguments(
			argument{name: "bind_secret_id", shape: aFlag, standard: true},
			argument{name: "secret_id_bound_cidrs", shape: aSet},
			argument{name: "secret_id_num_uses", shape: aNumber},
			argument{name: "secret_id_ttl", shape: aDuration},
			argument{name: "local_secret_ids", shape: aFlag},
		)
	case typeKubernetes:
		return tokenArguments(
			argument{name: "bound_service_account_names", shape: aSet, required: true},
			argument{name: "bound_service_account_namespaces", shape: aSet},
			argument{name: "bound_service_account_namespace_selector", shape: aText},
			argument{name: "audience", shape: aText},
			argument{name: "alias_name_source", shape: aText, standard: "serviceaccount_uid"},
		)
	case typeJWT:
		return tokenArguments(
			argument{name: "role_type", shape: aText, standard: "jwt"},
			argument{name: "user_claim", shape: aText, required: true},
			argument{name: "user_claim_json_pointer", shape: aFlag},
			argument{name: "bound_audiences", shape: aSet},
			argument{name: "bound_subject", shape: aText},
			argument{name: "bound_claims", shape: aMap},
			argument{name: "bound_claims_type", shape: aText, standard: "string"},
			argument{name: "claim_mappings", shape: aMap},
			argument{name: "groups_claim", shape: aText},
			argument{name: "allowed_redirect_uris", shape: aSet},
			argument{name: "oidc_scopes", shape: aSet},
			argument{name: "verbose_oidc_logging", shape: aFlag},
			argument{name: "max_age", shape: aDuration},
			argument{name: "expiration_leeway", shape: aLeeway},
			argument{name: "not_before_leeway", shape: aLeeway},
			argument{name: "clock_skew_leeway", shape: aLeeway},
		)
	}
	return nil
}

// Settings of a KV mount. Those of mountConfig are below its own path.
func mountArguments() []argument {
	return append([]argument{
		{name: "version", shape: aText, standard: "2"},
		{name: "description", shape: aText},
	}, mountConfig()...)
}

func mountConfig() []argument {
	return []argument{
		{name: "max_versions", shape: aNumber},
		{name: "cas_required", shape: aFlag},
		{name: "delete_version_after", shape: aDuration},
	}
}

// Declares implements [providers.Declarer].
func (d *Driver) Declares() []string {
	return []string{
		"mount." + typeKV, "policy_document",
		"role." + typeAppRole, "role." + typeJWT, "role." + typeKubernetes,
	}
}

// DeclaredAt implements [providers.Declarer]: a role is in the auth method that is
// mounted under the name of its type.
func (d *Driver) DeclaredAt(kind, typ, name string) providers.ObjectRef {
	switch {
	case kind == "policy_document" && typ == "":
		return providers.ObjectRef{Kind: KindPolicy, Path: name}
	case kind == "mount" && typ == typeKV:
		return providers.ObjectRef{Kind: KindMount, Path: typ + ":" + name}
	case kind == "role" && roleArguments(typ) != nil:
		return holder{typ: typ, mount: typ, name: strings.ToLower(name)}.ref()
	}
	return providers.ObjectRef{}
}

// CompileDeclaration implements [providers.Declarer]. Of a role and a mount a
// block has what it writes: other arguments are somebody else's business.
func (d *Driver) CompileDeclaration(decl providers.Declaration) ([]providers.ObjectSpec, error) {
	switch decl.Kind {
	case "policy_document":
		return d.compileDocument(decl)
	case "role":
		return d.compileRole(decl)
	case "mount":
		return d.compileMount(decl)
	}
	return nil, wrongArgument("", providers.Errorf(providers.Unsupported, "a vault provider has no %s blocks", decl.Kind))
}

func wrongArgument(name string, err error) error {
	var done *providers.Error
	if !errors.As(err, &done) {
		err = &providers.Error{Code: providers.Invalid, Err: err}
	}
	return &providers.ArgumentError{Argument: name, Err: err}
}

// refuseOthers refuses an argument that a block does not have.
func refuseOthers(decl providers.Declaration, known []argument, more ...string) error {
	for _, name := range sortedNames(decl.Args) {
		if slices.Contains(more, name) || slices.ContainsFunc(known, func(a argument) bool { return a.name == name }) {
			continue
		}
		if decl.Kind == "role" && (name == "token_policies" || name == "token_policies_template_claims") {
			return wrongArgument(name, fmt.Errorf("there is no argument %s (did you mean %s?)", name, argPolicies))
		}
		return wrongArgument(name, unknownArgument(name, known, more...))
	}
	return nil
}

func (d *Driver) compileDocument(decl providers.Declaration) ([]providers.ObjectSpec, error) {
	if err := refuseOthers(decl, nil, argDocument); err != nil {
		return nil, err
	}
	if err := checkPolicyName(decl.Name); err != nil {
		return nil, wrongArgument("", err)
	}
	text, _ := decl.Args[argDocument].(string)
	if strings.TrimSpace(text) == "" {
		return nil, wrongArgument(argDocument, errors.New(`document is missing: want the text of a policy, such as file("policies/ops.hcl")`))
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return nil, wrongArgument(argDocument, errors.New("document is JSON, which has no room for the comment that says whose the policy is: write it in HCL"))
	}
	if _, err := acl.Parse(text); err != nil {
		return nil, wrongArgument(argDocument, fmt.Errorf("document is no policy: %w", err))
	}
	if _, _, marked := splitMark(text); marked {
		return nil, wrongArgument(argDocument, errors.New("document begins with an owner mark, which Coffer writes itself: take the line out"))
	}
	return []providers.ObjectSpec{{
		Ref:      providers.ObjectRef{Kind: KindPolicy, Path: decl.Name},
		Document: canonicalPolicy(text),
	}}, nil
}

func (d *Driver) compileRole(decl providers.Declaration) ([]providers.ObjectSpec, error) {
	known := roleArguments(decl.Type)
	if known == nil {
		return nil, wrongArgument("", fmt.Errorf("there are no roles of type %q%s", decl.Type, suggest(decl.Type, []string{typeAppRole, typeJWT, typeKubernetes})))
	}
	if err := refuseOthers(decl, known, argPolicies, argMount); err != nil {
		return nil, err
	}
	h := holder{typ: decl.Type, mount: decl.Type, name: strings.ToLower(decl.Name)}
	if v, written := decl.Args[argMount]; written {
		text, _ := v.(string)
		if h.mount = strings.Trim(text, "/"); h.mount == "" {
			return nil, wrongArgument(argMount, fmt.Errorf("mount: want the path of the auth method, such as %q", decl.Type))
		}
	}
	if err := h.check(); err != nil {
		return nil, wrongArgument(argMount, err)
	}
	s, err := declared(decl, known)
	if err != nil {
		return nil, err
	}
	specs := []providers.ObjectSpec{{Ref: h.ref(), Document: s.document(decl.Type), Kept: true}}
	policies, err := (argument{shape: aSet}).canonical(decl.Args[argPolicies])
	if err != nil {
		return nil, wrongArgument(argPolicies, fmt.Errorf("policies: %w", err))
	}
	for _, p := range policies.([]any) {
		name := p.(string)
		if err := checkPolicyName(name); err != nil {
			return nil, wrongArgument(argPolicies, err)
		}
		specs = append(specs, d.bindingSpec(h, name, name))
	}
	return specs, nil
}

// declared returns the settings that a block writes. An argument that names a secret of
// the block has no place in it: all of these are public.
func declared(decl providers.Declaration, known []argument) (settings, error) {
	for _, a := range known {
		if v, written := decl.Args[a.name]; a.required && (!written || v == nil || v == "") {
			return nil, wrongArgument(a.name, fmt.Errorf("%s is missing", a.name))
		}
	}
	s, name, err := settle(known, decl.Args, false)
	if err != nil {
		return nil, wrongArgument(name, err)
	}
	return s, nil
}

func (d *Driver) compileMount(decl providers.Declaration) ([]providers.ObjectSpec, error) {
	if decl.Type != typeKV {
		return nil, wrongArgument("", fmt.Errorf("there are no mounts of type %q, only of kv", decl.Type))
	}
	if err := checkPath(decl.Name); err != nil {
		return nil, wrongArgument("", err)
	}
	known := mountArguments()[1:] // the version is an option, as in the API
	if err := refuseOthers(decl, known, argOptions); err != nil {
		return nil, err
	}
	if v, written := decl.Args[argOptions]; written {
		options, _ := v.(map[string]any)
		version := options["version"]
		if len(options) != 1 || version != "2" && version != 2.0 {
			return nil, wrongArgument(argOptions, errors.New(`options: want { version = "2" }, which is the standard; no other version is made`))
		}
	}
	s, err := declared(decl, known)
	if err != nil {
		return nil, err
	}
	s["version"] = "2"
	spec := providers.ObjectSpec{
		Ref:      providers.ObjectRef{Kind: KindMount, Path: decl.Type + ":" + decl.Name},
		Document: s.document(decl.Type),
		Holds:    decl.Name == d.config.Mount,
		Kept:     true,
	}
	if made := s.made().document(decl.Type); made != spec.Document {
		spec.Begins = []string{made}
	}
	return []providers.ObjectSpec{spec}, nil
}
