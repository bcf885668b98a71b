//go:build servers

package kubernetes

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

func workloadAt(namespace, kind, name string) string {
	return "/apis/apps/v1/namespaces/" + namespace + "/" + kind + "s/" + name
}

// workload makes one with a pod, and returns its path.
func (c *cluster) workload(namespace, kind, name string, spec map[string]any) string {
	c.t.Helper()
	labels := map[string]any{"app": name}
	full := map[string]any{
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "main", "image": "example.com/app"}}},
		},
	}
	if kind == "statefulset" {
		full["serviceName"] = name
	}
	maps.Copy(full, spec)
	c.Must(http.MethodPost, strings.TrimSuffix(workloadAt(namespace, kind, name), "/"+name), map[string]any{
		"metadata": map[string]any{"name": name}, "spec": full,
	})
	return namespace + "/" + kind + "/" + name
}

// controls does once what a controller does when a workload changes: it waits for
// another generation and writes a status, with the generation that it has seen.
func (c *cluster) controls(at string, statuses ...map[string]any) (done <-chan struct{}) {
	generation := func() (int64, bool) {
		status, o := c.Do(http.MethodGet, at, c.AdminToken, nil)
		meta, ok := o["metadata"].(map[string]any)
		if status != http.StatusOK || !ok {
			return 0, false
		}
		n, _ := meta["generation"].(float64)
		return int64(n), true
	}
	first, _ := generation()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		servers.Await(c.t, "the workload changes", func() bool { now, ok := generation(); return !ok || now > first })
		now, _ := generation()
		for _, status := range statuses {
			status["observedGeneration"] = now
			c.Do(http.MethodPatch, at+"/status", c.AdminToken, map[string]any{"status": status})
		}
	}()
	return ended
}

// hasty is a driver that looks often and waits for so long.
func (c *cluster) hasty(namespace string, patience time.Duration) *Driver {
	d := c.admin(namespace)
	d.restarts.look, d.restarts.patience = 10*time.Millisecond, patience
	return d
}

func rolloutOf(d *Driver, path string) providers.ObjectRef {
	namespace, rest, _ := strings.Cut(path, "/")
	kind, name, _ := strings.Cut(rest, "/")
	return d.Rollout(providers.Workload{Kind: kind, Namespace: namespace, Name: name})
}

// A restart ends as its controller says. Without a kubelet the test is the
// controller.
func TestRollout(t *testing.T) {
	c := newCluster(t)
	namespace := c.fresh()
	deployed := map[string]any{"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
	late := map[string]any{"conditions": []any{map[string]any{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}}}
	for name, test := range map[string]struct {
		kind     string
		spec     map[string]any
		statuses []map[string]any
		fails    string // "" is done
	}{
		"deployment":  {"deployment", map[string]any{"replicas": 3}, []map[string]any{{"replicas": 4, "updatedReplicas": 1}, deployed}, ""},
		"daemonset":   {"daemonset", nil, []map[string]any{{"desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}}, ""},
		"statefulset": {"statefulset", map[string]any{"replicas": 2}, []map[string]any{{"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}}, ""},
		"partition": {
			"statefulset",
			map[string]any{"replicas": 3, "updateStrategy": map[string]any{"rollingUpdate": map[string]any{"partition": 2}}},
			[]map[string]any{{"replicas": 3, "updatedReplicas": 1, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "b"}},
			"",
		},
		"statefulset-on-delete": {"statefulset", map[string]any{"updateStrategy": map[string]any{"type": "OnDelete"}}, nil, ""},
		"daemonset-on-delete":   {"daemonset", map[string]any{"updateStrategy": map[string]any{"type": "OnDelete"}}, nil, ""},
		"paused":                {"deployment", map[string]any{"paused": true}, nil, ""},
		"scaled-to-none":        {"deployment", map[string]any{"replicas": 0}, []map[string]any{{"replicas": 0}}, ""},
		"deadline":              {"deployment", nil, []map[string]any{late}, "made no progress within its own deadline"},
		"unseen":                {"deployment", nil, nil, "its controller has not seen the change after 300ms"},
		"half":                  {"deployment", map[string]any{"replicas": 3}, []map[string]any{{"replicas": 3, "updatedReplicas": 1}}, "1 of 3 new pods are made after 300ms"},
		"old":                   {"deployment", map[string]any{"replicas": 3}, []map[string]any{{"replicas": 5, "updatedReplicas": 3}}, "2 old pods still run"},
		"unavailable":           {"deployment", map[string]any{"replicas": 3}, []map[string]any{{"replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 2}}, "2 of 3 new pods are available"},
		"unready":               {"statefulset", map[string]any{"replicas": 2}, []map[string]any{{"replicas": 2, "updatedReplicas": 2, "readyReplicas": 1}}, "1 of 2 pods are ready"},
	} {
		t.Run(name, func(t *testing.T) {
			patience := time.Minute
			if test.fails != "" {
				patience = 300 * time.Millisecond
			}
			d := c.hasty(namespace, patience)
			path := c.workload(namespace, test.kind, name, test.spec)
			ref := rolloutOf(d, path)
			if o := inspectOne(t, d, ref); o != nil {
				t.Fatalf("never restarted: %+v", o)
			}
			controller := c.controls(workloadAt(namespace, test.kind, name), test.statuses...)
			made, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, Document: "app.a = 1\n"})
			<-controller
			if test.fails != "" {
				wantError(t, err, providers.Ambiguous, test.fails, "kubectl -n "+namespace+" rollout status "+test.kind+"/"+name)
			} else if err != nil {
				t.Fatal(err)
			}
			live := inspectOne(t, d, ref)
			if live == nil || live.Document != "app.a = 1\n" || !live.Settings || !live.Kept || test.fails == "" && live.Version != made.Version {
				t.Errorf("%+v, made %+v", live, made)
			}
		})
	}
}

// What is not there lacks; what somebody does meanwhile is seen.
func TestRolloutMeanwhile(t *testing.T) {
	c := newCluster(t)
	namespace := c.fresh()
	d := c.hasty(namespace, time.Minute)
	ctx := context.Background()
	missing := inspectOne(t, d, rolloutOf(d, namespace+"/daemonset/none"))
	if missing == nil || missing.Lacks == nil || !strings.Contains(missing.Lacks.Text, "no such DaemonSet") {
		t.Errorf("%+v", missing)
	}
	_, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: rolloutOf(d, namespace+"/daemonset/none"), Document: "a = 1\n"})
	wantError(t, err, providers.Conflict, "no such DaemonSet any more")
	_, err = d.inspectRollout(ctx, providers.ObjectRef{Kind: kindRollout, Path: "elsewhere/deployment/a"})
	wantError(t, err, providers.Invalid, "outside the namespace "+namespace)

	// Another project's note stays; its restart is another version.
	path := c.workload(namespace, "deployment", "api", map[string]any{"paused": true})
	at, ref := workloadAt(namespace, "deployment", "api"), rolloutOf(d, path)
	first, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "app.a = 1\n"})
	if err != nil {
		t.Fatal(err)
	}
	note := func(text any) {
		c.Must(http.MethodPatch, at, map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{keyStarted: text}}}}})
	}
	note("app.a = 1\nother.b = 7\n")
	_, err = d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "app.a = 2\n", IfVersion: first.Version})
	wantError(t, err, providers.Conflict, "somebody else restarted it with other values meanwhile")
	now := inspectOne(t, d, ref)
	second, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "app.a = 2\n", IfVersion: now.Version})
	if err != nil || second.Document != "other.b = 7\napp.a = 2\n" || second.Like("app.a = 2\n") != "app.a = 2\n" {
		t.Errorf("%q %v", second.Document, err)
	}
	// To delete one is to forget it: nothing restarts.
	if _, err := d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, IfVersion: second.Version}); err != nil || inspectOne(t, d, ref).Version != second.Version {
		t.Error("a rollout that is let go of restarts its programs", err)
	}
	note(nil)
	if o := inspectOne(t, d, ref); o != nil {
		t.Errorf("the annotation was taken away: %+v", o)
	}

	// Somebody scales it between the look and the patch: that is no conflict.
	p := newProxy(t, c)
	config := c.config(t, p.URL, c.AdminToken, p.CA)
	between := open(t, config)
	between.restarts.look = 10 * time.Millisecond
	on := func(do func()) {
		var once sync.Once
		p.on(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				once.Do(do)
			}
			return false
		})
	}
	on(func() { c.Must(http.MethodPatch, at, map[string]any{"spec": map[string]any{"replicas": 5}}) })
	third, err := between.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "app.a = 3\n"})
	if err != nil || third.Document != "app.a = 3\n" {
		t.Errorf("%+v %v", third, err)
	}
	on(func() { note("app.a = 9\n") })
	_, err = between.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "app.a = 4\n", IfVersion: third.Version})
	wantError(t, err, providers.Conflict, "somebody else restarted it")
	on(func() { c.Must(http.MethodDelete, at, nil) })
	_, err = between.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "app.a = 4\n", IfVersion: inspectOne(t, d, ref).Version})
	wantError(t, err, providers.Conflict, "no such Deployment any more")
}

// While a restart is waited for, the API server may be away for a while, and a
// person is told what is waited for. One that is deleted then is told too.
func TestRolloutWaits(t *testing.T) {
	c := newCluster(t)
	namespace := c.fresh()
	p := newProxy(t, c)
	d := open(t, c.config(t, p.URL, c.AdminToken, p.CA))
	ref := rolloutOf(d, c.workload(namespace, "deployment", "api", map[string]any{"replicas": 2}))
	at := workloadAt(namespace, "deployment", "api")
	var told []string
	d.restarts = restarts{patience: time.Minute, look: 10 * time.Millisecond, tell: func(text string) {
		told = append(told, text)
		switch len(told) {
		case 1:
			p.setDown(true)
		case 2:
			p.setDown(false)
			now := c.Must(http.MethodGet, at, nil)["metadata"].(map[string]any)["generation"]
			c.Must(http.MethodPatch, at+"/status", map[string]any{"status": map[string]any{
				"observedGeneration": now, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
			}})
		}
	}}
	made, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, Document: "app.a = 1\n"})
	if err != nil || len(told) != 2 || told[0] != "Waiting for the restart of "+ref.Path+": its controller has not seen the change" || !strings.Contains(told[1], "the API server does not tell") {
		t.Errorf("%v %v", told, err)
	}
	d.restarts.tell = func(string) { c.Must(http.MethodDelete, at, nil) }
	_, err = d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, Document: "app.a = 2\n", IfVersion: made.Version})
	wantError(t, err, providers.Ambiguous, "the Deployment was deleted while its programs were restarted")

	ref = rolloutOf(d, c.workload(namespace, "deployment", "stopped", nil))
	ctx, stop := context.WithCancel(t.Context())
	d.restarts.tell = func(string) { stop() }
	_, err = d.WriteObject(ctx, providers.ObjectRequest{Ref: ref, Document: "app.a = 1\n"})
	wantError(t, err, providers.Ambiguous, "the restart was begun")
}
