package manifests

import (
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
)

// Resources that are secrets.
const (
	plainSecrets  = "secrets"
	sealedSecrets = "sealedsecrets"
)

// Kinds of blocks that end as a Secret.
const (
	kindSecret           = "secret"
	kindKubernetesSecret = "kubernetes_secret"
	kindSealedSecret     = "sealed_secret"
)

// place is where a path leads.
type place struct {
	file      string // below the configuration, with slashes
	resource  string // "secrets", "externalsecrets"
	namespace string // "" for what lies in none
	name      string
}

// item is what lies there, for a message.
func (p place) item() string {
	return strings.TrimSuffix(p.resource, "s") + " " + strings.TrimPrefix(p.namespace+"/"+p.name, "/")
}

// kindOf is how manifests call a resource, and the group of its API.
type kindOf struct{ resource, kind, group string }

func kinds() []kindOf {
	return []kindOf{
		{plainSecrets, "Secret", ""},
		{sealedSecrets, "SealedSecret", "bitnami.com"},
		{delivery.KindExternalSecret + "s", "ExternalSecret", "external-secrets.io"},
		{delivery.KindSecretStore + "s", "SecretStore", "external-secrets.io"},
		{delivery.KindClusterSecretStore + "s", "ClusterSecretStore", "external-secrets.io"},
		{delivery.KindServiceAccount + "s", "ServiceAccount", ""},
		{delivery.KindRole + "s", "Role", "rbac.authorization.k8s.io"},
		{delivery.KindRoleBinding + "s", "RoleBinding", "rbac.authorization.k8s.io"},
	}
}

// locate takes a path apart. It refuses every one that could leave the
// configuration or mean two places.
func locate(path string) (place, error) {
	file, rest, ok := strings.Cut(path, "#")
	if !ok {
		return place{}, invalid("path %.200q: want FILE#secrets/NAMESPACE/NAME", path)
	}
	if err := checkFile(file); err != nil {
		return place{}, err
	}
	resource, item, _ := strings.Cut(rest, "/")
	if !slices.ContainsFunc(kinds(), func(k kindOf) bool { return k.resource == resource }) {
		return place{}, invalid("path %.200q: a file of manifests has no %.40q", path, resource)
	}
	p := place{file: file, resource: resource}
	if resource == delivery.KindClusterSecretStore+"s" {
		p.name = item
		return p, kubernetes.Naming{}.Check("default/" + item)
	}
	p.namespace, p.name, _ = strings.Cut(item, "/")
	return p, kubernetes.Naming{}.Check(item)
}

// checkFile says why there can be no file of manifests of a name.
func checkFile(file string) error {
	bad := !utf8.ValidString(file) || strings.ContainsFunc(file, unicode.IsControl) || strings.ContainsAny(file, "#\\:")
	for part := range strings.SplitSeq(file, "/") {
		if bad || part == "" || part[0] == '.' || part[0] == ' ' || part[len(part)-1] == ' ' || part[len(part)-1] == '.' || len(part) > 200 {
			return invalid("file %.200q: it lies below the configuration, and no part of its path is hidden, empty or odd", file)
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(file)) {
		return invalid("file %.200q lies outside the configuration", file)
	}
	if ext := filepath.Ext(file); ext != ".yaml" && ext != ".yml" {
		return invalid("file %.200q: want a name that ends in .yaml or .yml", file)
	}
	return nil
}

// secretAt locates a secret.
func (d *Driver) secretAt(path string) (place, error) {
	p, err := locate(path)
	switch {
	case err != nil:
		return p, err
	case p.resource != plainSecrets && p.resource != sealedSecrets:
		return p, invalid("path %.200q is that of an object", path)
	}
	return p, d.naming.Check(p.namespace + "/" + p.name)
}

// Container returns the file that a path lies in, "" for a path that leads
// nowhere.
func (d *Driver) Container(_, path string) string {
	p, err := locate(path)
	if err != nil {
		return ""
	}
	return p.file
}

// cutFile returns the file of a written path that says nothing else.
func cutFile(written string) (string, bool) { return strings.CutSuffix(written, "#") }

// resourceOf is what a kind of block makes.
func resourceOf(kind string) string {
	if kind == kindSealedSecret {
		return sealedSecrets
	}
	return plainSecrets
}

// DefaultPath implements [providers.Placer]: FILE, and in it the place that
// [kubernetes.Naming] gives.
func (d *Driver) DefaultPath(p providers.Place) (string, error) {
	if err := kubernetes.CheckForm(p.Kind, providers.Form{}, nil); err != nil {
		return "", err
	}
	if p.In == "" {
		return "", invalid("there is no file to write %s to", p.Name).WithHint("write output = \"FILE.yaml\" into its block")
	}
	if err := checkFile(p.In); err != nil {
		return "", err
	}
	item, err := d.naming.Default(p)
	if err != nil {
		return "", err
	}
	return p.In + "#" + resourceOf(p.Kind) + "/" + item, nil
}

// Resolve implements [providers.Placer]: FILE#NAME, FILE#NAMESPACE/NAME, or the
// whole path.
func (d *Driver) Resolve(kind, written string) (string, error) {
	switch kind {
	case "", kindSecret, kindKubernetesSecret, kindSealedSecret:
	default:
		return written, nil
	}
	if _, err := d.secretAt(written); err == nil {
		return written, nil
	}
	file, item, ok := strings.Cut(written, "#")
	if !ok {
		return "", invalid("path %.200q: want FILE#NAMESPACE/NAME", written)
	}
	if err := checkFile(file); err != nil {
		return "", err
	}
	item, err := d.naming.Resolve(item)
	if err != nil {
		return "", err
	}
	return file + "#" + resourceOf(kind) + "/" + item, nil
}

// Written implements [providers.Placer]: a plain Secret's without what a block
// does not write, and any other path as it is.
func (d *Driver) Written(path string) string {
	p, err := d.secretAt(path)
	if err != nil || p.resource != plainSecrets {
		return path
	}
	return p.file + "#" + d.naming.Written(p.namespace+"/"+p.name)
}
