package vault

import (
	"maps"
	"slices"

	"github.com/cofferhq/coffer/providers"
)

// This file tells the External Secrets operator how to read this store: the
// provider section of a SecretStore, as
// https://external-secrets.io/latest/provider/hashicorp-vault/ describes it.

var _ providers.Exporter = (*Driver)(nil)

// exportAuth is one way for the operator to sign in.
type exportAuth struct {
	method string
	// arguments of the auth block, and which of them have to be there.
	arguments, required []string
	section             func(d *Driver, a providers.StoreAccess) (map[string]any, error)
}

func exportAuths() []exportAuth {
	return []exportAuth{
		{"kubernetes", []string{"mount", "role"}, nil, (*Driver).exportKubernetes},
		{"approle", []string{"mount", "role_id", "secret_ref"}, []string{"role_id", "secret_ref"}, (*Driver).exportAppRole},
		{"jwt", []string{"mount", "role", "audiences"}, []string{"role"}, (*Driver).exportJWT},
		{"token", []string{"secret_ref"}, []string{"secret_ref"}, (*Driver).exportToken},
	}
}

// SecretStore implements [providers.Exporter].
func (d *Driver) SecretStore(a providers.StoreAccess) (map[string]any, error) {
	auth, err := exportedBy(a)
	if err != nil {
		return nil, err
	}
	section, err := auth.section(d, a)
	if err != nil {
		return nil, err
	}
	v := map[string]any{
		"server": d.config.Address, "path": d.config.Mount, "version": "v2",
		"auth": map[string]any{methodKeys(auth.method): section},
	}
	if d.config.AllowValueRead {
		v["version"] = "v1"
	}
	if d.config.Namespace != "" {
		v["namespace"] = d.config.Namespace
	}
	return map[string]any{"vault": v}, nil
}

// methodKeys is how the operator calls a method.
func methodKeys(method string) string {
	return map[string]string{"kubernetes": "kubernetes", "approle": "appRole", "jwt": "jwt", "token": "tokenSecretRef"}[method]
}

// exportedBy checks the auth block.
func exportedBy(a providers.StoreAccess) (exportAuth, error) {
	all := exportAuths()
	i := slices.IndexFunc(all, func(e exportAuth) bool { return e.method == a.Method })
	if i < 0 {
		return exportAuth{}, argumentf("", "the operator does not sign in to Vault by auth %q here; it can by kubernetes, approle, jwt and token", a.Method)
	}
	auth := all[i]
	for _, name := range slices.Sorted(maps.Keys(a.Args)) {
		if !slices.Contains(auth.arguments, name) {
			return auth, argumentf(name, "auth %q of a store has no argument %s; it has %v", a.Method, name, auth.arguments)
		}
	}
	for _, name := range auth.required {
		if a.Args[name] == nil {
			return auth, argumentf("", "auth %q of a store needs %s", a.Method, name)
		}
	}
	return auth, nil
}

func argumentf(name, format string, args ...any) error {
	return &providers.ArgumentError{Argument: name, Err: providers.Errorf(providers.Invalid, format, args...)}
}

// textArgument returns an argument that is text, or standard where it is not
// written.
func textArgument(a providers.StoreAccess, name, standard string) (string, error) {
	v, written := a.Args[name]
	if !written {
		return standard, nil
	}
	text, ok := v.(string)
	if !ok || text == "" {
		return "", argumentf(name, "%s is text, and not empty", name)
	}
	return text, nil
}

// secretRef returns the reference to a key of a Secret of the cluster, which
// holds what the operator signs in with.
func secretRef(a providers.StoreAccess) (map[string]any, error) {
	const form = `secret_ref is { name = "SECRET", key = "KEY" }: a Secret of the cluster that somebody else keeps`
	written, ok := a.Args["secret_ref"].(map[string]any)
	if !ok {
		return nil, argumentf("secret_ref", form)
	}
	ref := map[string]any{}
	for name, v := range written {
		text, ok := v.(string)
		if !ok || text == "" || name != "name" && name != "key" && name != "namespace" {
			return nil, argumentf("secret_ref", form)
		}
		ref[name] = text
	}
	if ref["name"] == nil || ref["key"] == nil {
		return nil, argumentf("secret_ref", form)
	}
	if a.Cluster && ref["namespace"] == nil {
		ref["namespace"] = a.Namespace
	}
	return ref, nil
}

// accountRef refers to the service account that the store signs in as.
func accountRef(a providers.StoreAccess) map[string]any {
	ref := map[string]any{"name": a.ServiceAccount}
	if a.Cluster {
		ref["namespace"] = a.Namespace
	}
	return ref
}

func (d *Driver) exportKubernetes(a providers.StoreAccess) (map[string]any, error) {
	mount, err := textArgument(a, "mount", typeKubernetes)
	if err != nil {
		return nil, err
	}
	role, err := textArgument(a, "role", "")
	if err != nil {
		return nil, err
	}
	if role == "" { // the one that StoreReader brings along
		h, err := resolveReader(kubernetesReader(a, mount))
		if err != nil {
			return nil, &providers.ArgumentError{Err: err}
		}
		role = h.name
	}
	return map[string]any{"mountPath": mount, "role": role, "serviceAccountRef": accountRef(a)}, nil
}

func kubernetesReader(a providers.StoreAccess, mount string) providers.Reader {
	args := []string{a.Namespace, a.ServiceAccount}
	if mount != typeKubernetes {
		args = append(args, mount)
	}
	return providers.Reader{Func: "vault_kubernetes", Args: args}
}

func (d *Driver) exportAppRole(a providers.StoreAccess) (map[string]any, error) {
	mount, err := textArgument(a, "mount", "approle")
	if err != nil {
		return nil, err
	}
	id, err := textArgument(a, "role_id", "")
	if err != nil {
		return nil, err
	}
	ref, err := secretRef(a)
	return map[string]any{"path": mount, "roleId": id, "secretRef": ref}, err
}

func (d *Driver) exportJWT(a providers.StoreAccess) (map[string]any, error) {
	mount, err := textArgument(a, "mount", "jwt")
	if err != nil {
		return nil, err
	}
	role, err := textArgument(a, "role", "")
	if err != nil {
		return nil, err
	}
	token := map[string]any{"serviceAccountRef": accountRef(a)}
	if audiences, written := a.Args["audiences"]; written {
		list, ok := audiences.([]any)
		if !ok || len(list) == 0 || slices.ContainsFunc(list, func(v any) bool { _, text := v.(string); return !text }) {
			return nil, argumentf("audiences", "audiences is a list of text")
		}
		token["audiences"] = list
	}
	return map[string]any{"path": mount, "role": role, "kubernetesServiceAccountToken": token}, nil
}

func (d *Driver) exportToken(a providers.StoreAccess) (map[string]any, error) { return secretRef(a) }

// StoreReader implements [providers.Exporter]. A role that the block names is
// somebody else's to bind, as is whatever a token of a Secret may do; a role of
// jwt or approle is given the right to read.
func (d *Driver) StoreReader(a providers.StoreAccess) (r providers.Reader, ok bool, err error) {
	if _, err := exportedBy(a); err != nil {
		return r, false, err
	}
	if a.Args["role"] != nil && a.Method == typeKubernetes || a.Method == "token" || a.Method == "approle" {
		return r, false, nil // a role id does not tell the role's name
	}
	mount, err := textArgument(a, "mount", a.Method)
	if err != nil {
		return r, false, err
	}
	if a.Method == typeKubernetes {
		return kubernetesReader(a, mount), true, nil
	}
	role, err := textArgument(a, "role", "")
	if err != nil {
		return r, false, err
	}
	r = providers.Reader{Func: "vault_jwt", Args: []string{role}}
	if mount != "jwt" {
		r.Args = append(r.Args, mount)
	}
	return r, true, nil
}

// Remote implements [providers.Exporter].
func (d *Driver) Remote(path, field string) providers.Remote {
	if field == "" {
		field = keyValue
	}
	return providers.Remote{Key: path, Property: field}
}
