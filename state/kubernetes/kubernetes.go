// Package kubernetes keeps the blobs of a state in a namespace of a cluster:
// state and journal in a Secret each, the lock in a Lease, so that
// `kubectl get lease` shows who holds it.
//
// What a write may replace is told by resourceVersion, which the API server
// checks together with the write. A Secret holds a mebibyte: what is larger lies
// in several, see parts.go.
//
// Package kube finds the cluster and signs in; requests are plain REST.
//
// Read [Config] first, then blobs. The package knows nothing of a state: see
// package remote for what it must promise.
package kubernetes

import (
	"context"
	"fmt"

	"github.com/cofferhq/coffer/internal/kube"
	"github.com/cofferhq/coffer/state/remote"
)

// Config is the body of a backend "kubernetes" block.
type Config struct {
	Namespace string `hcl:"namespace"`
	// Name names the state's Secret; all others are NAME.journal and the like.
	Name string `hcl:"name"`
	// Kubeconfig is a file. Without it, it is KUBECONFIG, ~/.kube/config or, in a
	// pod, its service account.
	Kubeconfig string `hcl:"kubeconfig,optional"`
	// Context is one of the kubeconfig; without it, it is the current one.
	Context string `hcl:"context,optional"`
}

var _ remote.Backend = (*Config)(nil)

// serviceAccountDir is where a pod finds its token.
const serviceAccountDir = kube.ServiceAccountDir

// maxName leaves room in a label's value, and in a name for what follows it.
const maxName = 63

// Open implements [remote.Backend]. It makes no request.
func (c *Config) Open(_ context.Context, env remote.Env) (remote.Blobs, error) {
	return c.open(env, serviceAccountDir)
}

// open is Open with the folder where a pod finds its service account.
func (c *Config) open(env remote.Env, serviceAccount string) (*blobs, error) {
	place := "kubernetes://" + c.Namespace + "/" + c.Name
	for _, argument := range []struct{ name, value string }{{"namespace", c.Namespace}, {"name", c.Name}} {
		if !isLabel(argument.value) {
			return nil, invalid(place, fmt.Errorf("%s is not a name that Kubernetes takes", argument.name),
				fmt.Sprintf("write at most %d lower-case letters, digits and '-', with a letter or digit at both ends", maxName))
		}
	}
	choice := kube.Choice{Kubeconfig: c.Kubeconfig, Context: c.Context}
	cluster, err := choice.Cluster(kube.Env{Dir: env.Dir, Getenv: env.Getenv, ServiceAccount: serviceAccount})
	if err != nil {
		return nil, invalid(place, err, "")
	}
	client, err := newClient(cluster, c.Namespace, c.Name, env.UserAgent)
	if err != nil {
		return nil, err
	}
	return &blobs{client: client, known: map[string]head{}}, nil
}

// isLabel reports whether s is a DNS label of RFC 1123. A dot is left out
// though a Secret may have one, so that the names of two states never mix.
func isLabel(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}

func invalid(place string, err error, hint string) error {
	return &remote.Error{Code: remote.Invalid, Place: place, Op: "open", Unchanged: true, Err: err, Hint: hint}
}
