// Package kube reaches the API server of a Kubernetes cluster: it chooses the
// cluster as kubectl does, signs in with client-go's transports, credential
// plugins among them, and says why there is no answer.
//
// What is asked and what an answer means is its callers' business. Requests are
// plain REST: client-go's clients link a scheme of every type there is.
package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/net/http/httpproxy"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ServiceAccountDir is where a pod finds the token and the authority of its
// cluster.
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Env is what is known of the machine.
type Env struct {
	Dir    string // relative paths start here
	Getenv func(name string) string
	// ServiceAccount is [ServiceAccountDir], or what stands for it.
	ServiceAccount string
}

// Choice says which cluster, as whom. The zero Choice is what kubectl takes when
// it is told nothing, or else the cluster of the pod that this is.
type Choice struct {
	Kubeconfig string // a file; ~/ is the home directory
	Context    string // of the kubeconfig; "" is its current one
	// AsUser and AsGroups are whom to impersonate.
	AsUser   string
	AsGroups []string
}

// Cluster returns how to reach the cluster: by the kubeconfig where there is
// one, or else by the pod's service account. It makes no request. An error
// names the argument or variable and nothing of a file's content.
func (c Choice) Cluster(env Env) (*rest.Config, error) {
	cluster, err := c.find(env)
	if err != nil {
		return nil, err
	}
	if c.AsUser != "" || len(c.AsGroups) > 0 {
		cluster.Impersonate = rest.ImpersonationConfig{UserName: c.AsUser, Groups: c.AsGroups}
	}
	if cluster.Proxy == nil {
		cluster.Proxy = proxies(env.Getenv)
	}
	return cluster, nil
}

func (c Choice) find(env Env) (*rest.Config, error) {
	files, from := c.kubeconfigs(env)
	found := false
	for _, file := range files {
		switch _, err := os.Stat(file); {
		case err == nil:
			found = true
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s: %w", from, err)
		}
	}
	switch {
	case found:
		return c.byKubeconfig(files, from)
	case from != defaultKubeconfig:
		return nil, fmt.Errorf("%s: there is no file %s", from, strings.Join(files, ", "))
	case c.Context != "":
		return nil, fmt.Errorf("context %q: there is no kubeconfig to find it in: write kubeconfig, or set KUBECONFIG", c.Context)
	case env.Getenv("KUBERNETES_SERVICE_HOST") == "":
		return nil, errors.New("no cluster is known: write kubeconfig, set KUBECONFIG, or run in a pod of the cluster")
	}
	return inCluster(env)
}

// proxies returns the proxies of the environment that was passed in; client-go
// would take those of the process.
func proxies(getenv func(string) string) func(*http.Request) (*url.URL, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	choose := (&httpproxy.Config{
		HTTPProxy:  first("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: first("HTTPS_PROXY", "https_proxy"),
		NoProxy:    first("NO_PROXY", "no_proxy"),
	}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}

// defaultKubeconfig is what kubectl reads when it is told nothing.
const defaultKubeconfig = "~/.kube/config"

// kubeconfigs returns the files that may make up the kubeconfig, and who named
// them.
func (c Choice) kubeconfigs(env Env) (files []string, from string) {
	home := env.Getenv("HOME")
	if home == "" {
		home = env.Getenv("USERPROFILE")
	}
	if file := c.Kubeconfig; file != "" {
		if below, ok := strings.CutPrefix(file, "~/"); ok && home != "" {
			file = filepath.Join(home, below)
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(env.Dir, file)
		}
		return []string{file}, "kubeconfig"
	}
	for _, file := range filepath.SplitList(env.Getenv("KUBECONFIG")) {
		if file != "" {
			files = append(files, file)
		}
	}
	if len(files) > 0 {
		return files, "KUBECONFIG"
	}
	if home != "" {
		files = []string{filepath.Join(home, ".kube", "config")}
	}
	return files, defaultKubeconfig
}

// byKubeconfig reads the files. What client-go says of one that is malformed may
// quote it, so that is not passed on.
func (c Choice) byKubeconfig(files []string, from string) (*rest.Config, error) {
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: files}
	loaded, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("%s: it cannot be read, or is none: `kubectl config view` says more", from)
	}
	name := c.Context
	if name == "" {
		name = loaded.CurrentContext
	}
	if name == "" {
		return nil, fmt.Errorf("%s: it has no current context: write context", from)
	}
	chosen := loaded.Contexts[name]
	switch {
	case chosen == nil:
		return nil, fmt.Errorf("%s: it has no context %q", from, name)
	case chosen.AuthInfo != "" && loaded.AuthInfos[chosen.AuthInfo] == nil: // client-go would go on as nobody
		return nil, fmt.Errorf("%s: it has no user %q, which its context %q names", from, chosen.AuthInfo, name)
	}
	cluster, err := clientcmd.NewNonInteractiveClientConfig(*loaded, name, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("%s: its context %q cannot be used: does its cluster have a server, and can the files that it names be read? "+
			"`kubectl --context %s version` says more", from, name, name)
	}
	return cluster, nil
}

// inCluster is rest.InClusterConfig with the environment passed in, and with an
// error where the cluster's authority is missing. The token is read again as
// the kubelet replaces it.
func inCluster(env Env) (*rest.Config, error) {
	cluster := &rest.Config{
		Host:            "https://" + net.JoinHostPort(env.Getenv("KUBERNETES_SERVICE_HOST"), env.Getenv("KUBERNETES_SERVICE_PORT")),
		BearerTokenFile: filepath.Join(env.ServiceAccount, "token"),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(env.ServiceAccount, "ca.crt")},
	}
	for _, file := range []string{cluster.BearerTokenFile, cluster.CAFile} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("this is a pod without a service account (%w): set automountServiceAccountToken, or write kubeconfig", err)
		}
	}
	return cluster, nil
}
