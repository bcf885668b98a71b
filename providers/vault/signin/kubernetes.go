package signin

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// serviceAccountToken is where a pod finds the token of its service account.
// The kubelet replaces it, so it is read for every sign-in.
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// kubernetesConfig is auth "kubernetes": for what runs in a pod.
type kubernetesConfig struct {
	Phase string `hcl:"phase,optional"`
	Mount string `hcl:"mount,optional"`
	Role  string `hcl:"role"`
	// TokenPath is where the pod's token lies, JWT a token from elsewhere. None
	// is the token that every pod with a service account has.
	TokenPath string               `hcl:"token_path,optional"`
	JWT       providers.Credential `hcl:"jwt,optional"`
}

func (a *kubernetesConfig) when() string { return a.Phase }

func (a *kubernetesConfig) method(Deps) (Method, error) {
	mount, err := mountOr(a.Mount, "kubernetes")
	if err != nil {
		return nil, err
	}
	if a.Role == "" {
		return nil, providers.Errorf(providers.Invalid, "role is missing")
	}
	if a.TokenPath != "" && (!a.JWT.IsZero() || !filepath.IsAbs(a.TokenPath)) {
		return nil, providers.Errorf(providers.Invalid, "token_path is an absolute path, and takes the place of jwt")
	}
	file := a.TokenPath
	if file == "" {
		file = serviceAccountToken
	}
	read := func(ctx context.Context) (secret.Value, error) { return credential(ctx, "jwt", a.JWT) }
	if a.JWT.IsZero() {
		read = func(context.Context) (secret.Value, error) { return podToken(file) }
	}
	return &jwtMethod{name: named("kubernetes", a.Role), role: a.Role, mount: mount, read: read, next: "look at the role's bound_service_account_names, bound_service_account_namespaces and audience, `vault read auth/" + mount + "/role/" + a.Role + "`, and whether the server may ask the cluster's TokenReview"}, nil
}

func podToken(file string) (secret.Value, error) {
	v, err := readWord(file)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Value{}, providers.Errorf(providers.Invalid, "there is no service account token at %s", file).
			WithHint("this works in a pod that mounts one; write token_path where it lies elsewhere, jwt = from_env(…) outside, or use another method")
	}
	return v, err
}
