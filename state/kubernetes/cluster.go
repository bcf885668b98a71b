package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cofferhq/coffer/state/remote"
)

// serviceAccountDir is where a pod finds the token and the authority of its
// cluster.
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// cluster returns how to reach the cluster: by the kubeconfig where there is
// one, as kubectl does, or else by the pod's service account.
func (c *Config) cluster(env remote.Env, serviceAccount string) (*rest.Config, error) {
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
	return inCluster(env, serviceAccount)
}

// defaultKubeconfig is what kubectl reads when it is told nothing.
const defaultKubeconfig = "~/.kube/config"

// kubeconfigs returns the files that may make up the kubeconfig, and who named
// them.
func (c *Config) kubeconfigs(env remote.Env) (files []string, from string) {
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
func (c *Config) byKubeconfig(files []string, from string) (*rest.Config, error) {
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
func inCluster(env remote.Env, dir string) (*rest.Config, error) {
	cluster := &rest.Config{
		Host:            "https://" + net.JoinHostPort(env.Getenv("KUBERNETES_SERVICE_HOST"), env.Getenv("KUBERNETES_SERVICE_PORT")),
		BearerTokenFile: filepath.Join(dir, "token"),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "ca.crt")},
	}
	for _, file := range []string{cluster.BearerTokenFile, cluster.CAFile} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("this is a pod without a service account (%w): set automountServiceAccountToken, or write kubeconfig", err)
		}
	}
	return cluster, nil
}
