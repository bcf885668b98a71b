package kubernetes

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/providers"
)

// podSpec is what of a pod says which Secrets it uses.
type podSpec struct {
	Volumes []struct {
		Secret *struct {
			SecretName string `json:"secretName"`
		} `json:"secret"`
		Projected *struct {
			Sources []struct {
				Secret *named `json:"secret"`
			} `json:"sources"`
		} `json:"projected"`
	} `json:"volumes"`
	Containers     []container `json:"containers"`
	InitContainers []container `json:"initContainers"`
}

type container struct {
	Env []struct {
		ValueFrom *struct {
			SecretKeyRef *named `json:"secretKeyRef"`
		} `json:"valueFrom"`
	} `json:"env"`
	EnvFrom []struct {
		SecretRef *named `json:"secretRef"`
	} `json:"envFrom"`
}

type named struct {
	Name string `json:"name"`
}

// uses returns the names of the Secrets that a pod mounts or refers to. One that
// only pulls its image is not told: the pod does not keep it.
func (p podSpec) uses() map[string]bool {
	names := map[string]bool{}
	add := func(n *named) {
		if n != nil {
			names[n.Name] = true
		}
	}
	for _, v := range p.Volumes {
		if v.Secret != nil {
			names[v.Secret.SecretName] = true
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				add(s.Secret)
			}
		}
	}
	for _, c := range slices.Concat(p.Containers, p.InitContainers) {
		for _, e := range c.Env {
			if e.ValueFrom != nil {
				add(e.ValueFrom.SecretKeyRef)
			}
		}
		for _, e := range c.EnvFrom {
			add(e.SecretRef)
		}
	}
	return names
}

// podTemplate is where a workload says what its pods are.
type podTemplate struct {
	Spec podSpec `json:"spec"`
}

// consumers are the kinds that use Secrets, by the word for them.
func consumers() map[string]resource {
	kinds := workloads()
	kinds["cronjob"] = resource{"cronjobs", "CronJob", "batch", []string{"apis", "batch", "v1"}}
	return kinds
}

// Consumers implements [providers.Roller].
func (d *Driver) Consumers(ctx context.Context, paths []string) (map[string][]providers.Workload, error) {
	kinds := consumers()
	byNamespace := map[string][]string{}
	for _, path := range paths {
		namespace, _ := split(path)
		byNamespace[namespace] = append(byNamespace[namespace], path)
	}
	var asked []string
	for namespace := range byNamespace {
		for kind := range kinds {
			asked = append(asked, namespace+"/"+kind)
		}
	}
	slices.Sort(asked)
	found := map[string][]providers.Workload{}
	var mu sync.Mutex
	var failed error
	each(asked, func(one string) {
		namespace, kind, _ := strings.Cut(one, "/")
		using, err := d.using(ctx, kinds[kind], namespace)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = err
			return
		}
		for name, secrets := range using {
			for _, path := range byNamespace[namespace] {
				if _, secret := split(path); secrets[secret] {
					found[path] = append(found[path], providers.Workload{Kind: kind, Namespace: namespace, Name: name})
				}
			}
		}
	})
	for _, list := range found {
		slices.SortFunc(list, func(a, b providers.Workload) int { return strings.Compare(a.Kind+"/"+a.Name, b.Kind+"/"+b.Name) })
	}
	return found, failed
}

// using returns, by the names of the workloads of one kind, which Secrets they
// use.
func (d *Driver) using(ctx context.Context, res resource, namespace string) (map[string]map[string]bool, error) {
	out := map[string]map[string]bool{}
	r := request{verb: list, resource: res, namespace: namespace, shape: whole, query: url.Values{"limit": {strconv.Itoa(pageSize)}}}
	for {
		var p struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []struct {
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
				Spec struct {
					Template    podTemplate `json:"template"`
					JobTemplate struct {
						Spec struct {
							Template podTemplate `json:"template"`
						} `json:"spec"`
					} `json:"jobTemplate"`
				} `json:"spec"`
			} `json:"items"`
		}
		if _, err := d.client.do(ctx, r, &p); err != nil {
			return nil, err
		}
		for _, item := range p.Items {
			names := item.Spec.Template.Spec.uses()
			for name := range item.Spec.JobTemplate.Spec.Template.Spec.uses() {
				names[name] = true
			}
			out[item.Metadata.Name] = names
		}
		if p.Metadata.Continue == "" {
			return out, nil
		}
		r.query.Set("continue", p.Metadata.Continue)
	}
}
