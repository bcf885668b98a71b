package lang

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/cofferhq/coffer/lang/addr"
)

// The provider types of a cluster, and of the files that take its place: a
// provider of the second type is made for each of the first that a block with
// output names.
const (
	clusterType   = "kubernetes"
	manifestsType = "manifests"
)

// kubernetesSchema is the body of the three blocks that end as a Secret of a
// cluster. They differ in what only one way there has.
func kubernetesSchema(kind string) schema {
	s := schema{
		what: kind,
		arguments: []string{
			"data", "provider", "namespace", "name", "output", "type", "immutable", "annotations", "labels",
			"description", "protect", "environments", "rollout",
		},
	}
	switch kind {
	case addr.KindKubernetesSecret:
		s.arguments = append(s.arguments, "allow_plaintext_file")
	case addr.KindSealedSecret:
		s.arguments = append(s.arguments, "scope")
	case addr.KindExternalSecret:
		s.arguments = append(s.arguments, "refresh", "deletion_policy", "creation_policy")
		s.blocks = []string{"store"}
	}
	return s
}

func (l *loader) declareKubernetes(d *decl) {
	attr := d.body.arguments["data"]
	if attr == nil {
		l.diags.add(missing(d.block, "data", "data = { NAME = secret.x, … }"))
		return
	}
	d.items = l.items(attr, dataKey, "key",
		"of letters, digits, -, _ and ., up to 253, and neither . nor with .. in front; one with a dot in it stands in quotes")
}

// dataKey reports whether Kubernetes takes s as a key of a Secret.
func dataKey(s string) bool {
	if s == "" || len(s) > 253 || s == "." || strings.HasPrefix(s, "..") {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r >= 0x80 || !isLetter(byte(r)) && !isDigit(byte(r)) && r != '-' && r != '.'
	}) < 0
}

// loadKubernetesSecret evaluates a kubernetes_secret or sealed_secret for one
// environment.
func (s *scope) loadKubernetesSecret() {
	args, kind := s.decl.body.arguments, s.decl.kind
	u := s.kubernetesUsage()
	out := s.copied(u, "a key of "+oneOf(kind))
	out.Form = s.form(args, u)
	out.Form.Scope = s.oneOf(args["scope"], u, "strict", "namespace-wide", "cluster-wide")
	out.Store, out.Path, out.PathRange = s.kubernetesPlace(u)
	out.Rollouts = s.rollout()
	s.checkPlaintextFile(u)
	s.l.cfg.Secrets = append(s.l.cfg.Secrets, out)
}

func (s *scope) kubernetesUsage() usage {
	return usage{what: "an argument of " + oneOf(s.decl.kind), each: inAppEach()}
}

// form reads what a Secret of Kubernetes has beside its value.
func (s *scope) form(args map[string]*hclsyntax.Attribute, u usage) Form {
	f := Form{Type: s.filled(args["type"], u), Immutable: s.boolean(args["immutable"], false, u)}
	if strings.ContainsFunc(f.Type, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		s.report(errorAt(args["type"].Expr.Range(), "Not a type", "type is the type of a Secret, without spaces: Opaque, kubernetes.io/tls, kubernetes.io/dockerconfigjson."))
	}
	if annotations := s.textMap(args["annotations"], u); len(annotations) > 0 {
		f.Annotations = annotations
	}
	return f
}

// kubernetesPlace says where a block ends: the reference of its provider, the
// path there, and which place of the configuration says so.
func (s *scope) kubernetesPlace(u usage) (ref, path string, at hcl.Range) {
	args := s.decl.body.arguments
	at = s.decl.block.DefRange()
	ref = s.cluster(args["provider"], u)
	namespace, name := s.objectName(args["namespace"], u), s.objectName(args["name"], u)
	for _, argument := range []string{"namespace", "name"} {
		if attr := args[argument]; attr != nil {
			at = attr.Range()
		}
	}
	if namespace != "" && name == "" {
		name = strings.ReplaceAll(s.app.name+"-"+s.decl.name, "_", "-")
	}
	path = name
	if namespace != "" {
		path = namespace + "/" + name
	}
	attr := args["output"]
	file := s.outputFile(attr, u)
	if file == "" {
		return ref, path, at
	}
	if ref != "" {
		ref = s.l.manifests(ref, attr.Range())
	}
	return ref, file + "#" + path, at
}

// objectName is the name of an object or a namespace: what of it no cluster
// takes; the rest its driver checks.
func (s *scope) objectName(attr *hclsyntax.Attribute, u usage) string {
	name := s.filled(attr, u)
	if strings.ContainsAny(name, "/#") || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) || len(name) > 253 {
		s.report(errorAt(attr.Expr.Range(), "Invalid name", "No cluster has such a %s: it is made of small letters, digits, - and a dot.", attr.Name))
		return ""
	}
	return name
}

// outputFile is the file that takes the place of a cluster, "" without one.
func (s *scope) outputFile(attr *hclsyntax.Attribute, u usage) string {
	file := s.filled(attr, u)
	if file == "" {
		return ""
	}
	clean := filepath.ToSlash(filepath.Clean(filepath.FromSlash(file)))
	switch ext := filepath.Ext(file); {
	case !filepath.IsLocal(filepath.FromSlash(file)):
		s.report(errorAt(attr.Expr.Range(), "File outside the configuration", "output writes below the configuration folder only. Write a relative path without .. in it."))
	case strings.ContainsAny(file, "#\\") || strings.ContainsFunc(file, unicode.IsControl):
		s.report(errorAt(attr.Expr.Range(), "Invalid name", "The name of an output file has no #, no backslash and no control character in it."))
	case ext != ".yaml" && ext != ".yml":
		s.report(errorAt(attr.Expr.Range(), "Not a manifest", "output is a file of YAML: its name ends in .yaml or .yml, such as deploy/%s/%s.yaml.", s.env, s.decl.name))
	default:
		return clean
	}
	return ""
}

// checkPlaintextFile refuses a Secret in a file that anybody can read who has the
// file, unless somebody said so.
func (s *scope) checkPlaintextFile(u usage) {
	args := s.decl.body.arguments
	output, allow := args["output"], args["allow_plaintext_file"]
	allowed := s.boolean(allow, false, u)
	switch {
	case s.decl.kind != addr.KindKubernetesSecret:
	case output != nil && !allowed && s.filled(output, u) != "":
		s.report(errorAt(output.Range(), "Plaintext in a file", "A Secret in a file is not encrypted. Make the block a sealed_secret, which has the same body, or write allow_plaintext_file = true where the file goes nowhere else."))
	case output == nil && allowed:
		s.report(errorAt(allow.Range(), "Argument without use", "allow_plaintext_file is for a block with output = FILE. This one writes to the cluster: remove it."))
	}
}

// cluster returns the reference of the cluster that a block of an app goes to:
// the one it names, the one that is the environment's store, or the only one. It
// returns "" after reporting a problem.
func (s *scope) cluster(attr *hclsyntax.Attribute, u usage) string {
	l := s.l
	clusters := l.clusters
	choice := wordChoice(clusters[:min(len(clusters), 15)])
	if attr != nil {
		ref := s.providerRef(attr.Expr, u)
		if ref != "" && providerType(ref) != clusterType {
			fix := fmt.Sprintf("Write provider = %s.", choice)
			if len(clusters) == 0 {
				fix = "Declare one:\n\n" + exampleCluster
			}
			s.report(errorAt(attr.Expr.Range(), "Not a cluster", "%s is no cluster, and %s goes to one. %s", ref, oneOf(s.decl.kind), fix))
			return ""
		}
		return ref
	}
	store := l.cfg.Environments[s.env].Store
	if store == "" {
		store = l.defaults.store
	}
	at := s.decl.block.DefRange()
	switch {
	case slices.Contains(clusters, store):
		return store
	case len(clusters) == 1:
		return clusters[0]
	case len(clusters) > 1:
		s.report(errorAt(at, "Which cluster?", "There are several clusters. Write provider = %s.", choice))
	case !slices.Contains(l.refused, clusterType):
		s.report(errorAt(at, "No cluster", "%s goes to a cluster, or to files for one, and no provider block says which. Add:\n\n%s", capital(oneOf(s.decl.kind)), exampleCluster))
	}
	return ""
}

const exampleCluster = "provider \"kubernetes\" {\n  context = \"CONTEXT\"\n}"

func providerType(ref string) string {
	typ, _, _ := strings.Cut(ref, ".")
	return typ
}

// manifests returns the reference of the provider that stands for files instead
// of a cluster. It is made the first time it is asked for, from the cluster's own
// block, at the argument that asks.
func (l *loader) manifests(cluster string, at hcl.Range) string {
	byRef := func(ref string) *Provider {
		i := slices.IndexFunc(l.cfg.Providers, func(p *Provider) bool { return p.Ref() == ref })
		if i < 0 {
			return nil
		}
		return l.cfg.Providers[i]
	}
	of := byRef(cluster)
	p := &Provider{Type: manifestsType, Alias: of.Alias, Range: at, body: of.body}
	if byRef(p.Ref()) == nil {
		l.cfg.Providers = append(l.cfg.Providers, p)
	}
	return p.Ref()
}

// wordChoice joins words for a sentence: "a, b or c".
func wordChoice(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
