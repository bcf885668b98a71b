package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// This file restarts programs. A rollout is an annotation of a workload's pod
// template: a change of it is what makes the controller start new pods, as
// `kubectl rollout restart` does.

var _ providers.Roller = (*Driver)(nil)

const (
	kindRollout = "rollout"
	// keyStarted says what the pods were started with, NAME = VALUE a line.
	keyStarted = prefix + "started-with"
)

// workloads are the kinds that can be restarted, by the word for them.
func workloads() map[string]resource {
	apps := []string{"apis", "apps", "v1"}
	return map[string]resource{
		"deployment":  {"deployments", "Deployment", "apps", apps},
		"statefulset": {"statefulsets", "StatefulSet", "apps", apps},
		"daemonset":   {"daemonsets", "DaemonSet", "apps", apps},
	}
}

// Rollout implements [providers.Roller].
func (d *Driver) Rollout(w providers.Workload) providers.ObjectRef {
	return providers.ObjectRef{Kind: kindRollout, Path: w.Namespace + "/" + w.Kind + "/" + w.Name}
}

// workload is what of one matters here.
type workload struct {
	Kind     string   `json:"kind"`
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Replicas       *int `json:"replicas"`
		Paused         bool `json:"paused"`
		UpdateStrategy struct {
			Type          string `json:"type"`
			RollingUpdate struct {
				Partition int `json:"partition"`
			} `json:"rollingUpdate"`
		} `json:"updateStrategy"`
		Template struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		} `json:"template"`
	} `json:"spec"`
	Status     workloadStatus `json:"status"`
	Generation int64          `json:"-"`
}

type workloadStatus struct {
	ObservedGeneration int64 `json:"observedGeneration"`
	Replicas           int   `json:"replicas"`
	Updated            int   `json:"updatedReplicas"`
	Available          int   `json:"availableReplicas"`
	Ready              int   `json:"readyReplicas"`
	Desired            int   `json:"desiredNumberScheduled"`
	UpdatedScheduled   int   `json:"updatedNumberScheduled"`
	NumberAvailable    int   `json:"numberAvailable"`
	Conditions         []struct {
		Type   string `json:"type"`
		Status string `json:"status"`
		Reason string `json:"reason"`
	} `json:"conditions"`
}

func (w *workload) started() (string, bool) {
	text, ok := w.Spec.Template.Metadata.Annotations[keyStarted]
	return text, ok
}

// version moves with the annotation alone.
func (w *workload) version() string {
	text, ok := w.started()
	if !ok {
		return ""
	}
	sum := sha256.Sum256([]byte(w.Metadata.UID + "\x00" + text))
	return hex.EncodeToString(sum[:12])
}

func (w *workload) rollout() providers.Object {
	text, _ := w.started()
	return providers.Object{Version: w.version(), Document: text, NoMark: true, Kept: true, Settings: true}
}

// findWorkload returns the workload of a rollout, nil where there is none.
func (d *Driver) findWorkload(ctx context.Context, path string) (*workload, resource, error) {
	namespace, rest, _ := strings.Cut(path, "/")
	kind, name, _ := strings.Cut(rest, "/")
	res, known := workloads()[kind]
	if !known || !isLabel(namespace) || !isSubdomain(name) {
		return nil, res, providers.Errorf(providers.Invalid, "%.200q is no rollout: want NAMESPACE/KIND/NAME, of a deployment, statefulset or daemonset", path)
	}
	if d.namespace != "" && namespace != d.namespace {
		return nil, res, providers.Errorf(providers.Invalid, "the workload %.200q is outside the namespace %s of the provider", path, d.namespace)
	}
	r := request{verb: get, resource: res, namespace: namespace, name: name, shape: whole}
	var w struct {
		workload
		Metadata struct {
			metadata
			Generation int64 `json:"generation"`
		} `json:"metadata"`
	}
	if _, err := d.client.do(ctx, r, &w); err != nil {
		if providers.CodeOf(err) == providers.NotFound {
			err = nil
		}
		return nil, res, err
	}
	if w.Kind != res.kind || w.Metadata.Name != name {
		return nil, res, d.client.strange(r, http.StatusOK)
	}
	w.workload.Metadata, w.workload.Generation = w.Metadata.metadata, w.Metadata.Generation
	return &w.workload, res, nil
}

func (d *Driver) inspectRollout(ctx context.Context, ref providers.ObjectRef) (*providers.Object, error) {
	w, res, err := d.findWorkload(ctx, ref.Path)
	switch {
	case err != nil:
		return nil, err
	case w == nil:
		return &providers.Object{Lacks: &providers.Lack{Text: "there is no such " + res.kind + ": deploy it, or take it out of rollout"}}, nil
	}
	if _, ok := w.started(); !ok {
		return nil, nil
	}
	o := w.rollout()
	return &o, nil
}

// writeRollout restarts the programs and waits until the new ones run. What
// others have noted in the annotation stays: each notes what it restarts for.
func (d *Driver) writeRollout(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	if req.Document == "" { // to take the annotation away would restart them
		return providers.Object{}, nil
	}
	for range touches {
		w, res, err := d.findWorkload(ctx, req.Ref.Path)
		switch {
		case err != nil:
			return providers.Object{}, err
		case w == nil:
			return providers.Object{}, gone(res)
		case w.version() != req.IfVersion:
			return providers.Object{}, providers.Errorf(providers.Conflict, "somebody else restarted it with other values meanwhile")
		}
		started, _ := w.started()
		body, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": w.Metadata.UID, "resourceVersion": w.Metadata.ResourceVersion},
			"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]string{keyStarted: noted(started, req.Document)}}}},
		})
		if err != nil {
			return providers.Object{}, providers.Errorf(providers.Invalid, "the annotation cannot be encoded")
		}
		namespace, _, _ := strings.Cut(req.Ref.Path, "/")
		_, err = d.client.look(ctx, request{
			verb: patch, resource: res, namespace: namespace, name: w.Metadata.Name, manager: managerObjects, media: mergePatch, body: body,
		})
		switch {
		case err == nil:
			return d.restarted(ctx, req.Ref.Path)
		case providers.CodeOf(err) == providers.NotFound:
			return providers.Object{}, gone(res)
		case !errors.Is(err, errTouched):
			return providers.Object{}, err
		}
	}
	return providers.Object{}, providers.Errorf(providers.Conflict, "%w, again and again", errTouched)
}

func gone(res resource) error {
	return providers.Errorf(providers.Conflict, "there is no such %s any more", res.kind)
}

// noted returns settings with those of a document in the place of their like.
func noted(settings, document string) string {
	named := map[string]bool{}
	for line := range strings.Lines(document) {
		name, _, _ := strings.Cut(line, settingSign)
		named[name] = true
	}
	var others strings.Builder
	for line := range strings.Lines(settings) {
		if name, _, setting := strings.Cut(line, settingSign); setting && !named[name] {
			others.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return others.String() + document
}

// settingSign is that of [providers.Object.Settings].
const settingSign = " = "

// restarts is how a restart is waited for.
type restarts struct {
	patience, look time.Duration
	tell           func(text string) // a person, of one that takes long; nil is nobody
}

const (
	restartPatience = 10 * time.Minute
	restartLook     = time.Second
	// tellAfter is after how many looks a person is told what is waited for, and
	// then again where that is something else.
	tellAfter = 5
)

// restarted waits until the programs of a workload run anew. What it says of one
// that does not is no doubt about the restart: it was begun.
func (d *Driver) restarted(ctx context.Context, path string) (providers.Object, error) {
	deadline := time.NewTimer(d.restarts.patience)
	defer deadline.Stop()
	tick := time.NewTicker(d.restarts.look)
	defer tick.Stop()
	told := ""
	for looks := 1; ; looks++ {
		w, res, err := d.findWorkload(ctx, path)
		var waits string
		var failed bool
		switch code := providers.CodeOf(err); {
		case err != nil && (code == providers.Unavailable || code == providers.Throttled):
			waits = "the API server does not tell: " + err.Error()
		case err != nil:
			return providers.Object{}, providers.Errorf(providers.Ambiguous, "the restart was begun, and whether it came to its end cannot be told: %w", err)
		case w == nil:
			return providers.Object{}, providers.Errorf(providers.Ambiguous, "the %s was deleted while its programs were restarted", res.kind)
		default:
			waits, failed = w.waits()
		}
		switch {
		case failed:
			return providers.Object{}, notRestarted(path, waits)
		case waits == "":
			return w.rollout(), nil
		case looks%tellAfter == 0 && waits != told && d.restarts.tell != nil:
			d.restarts.tell(fmt.Sprintf("Waiting for the restart of %s: %s", path, waits))
			told = waits
		}
		select {
		case <-ctx.Done():
			return providers.Object{}, providers.Errorf(providers.Ambiguous, "the restart was begun: %w", ctx.Err())
		case <-deadline.C:
			return providers.Object{}, notRestarted(path, fmt.Sprintf("%s after %s", waits, d.restarts.patience))
		case <-tick.C:
		}
	}
}

func notRestarted(path, why string) error {
	namespace, rest, _ := strings.Cut(path, "/")
	return providers.Errorf(providers.Ambiguous, "the restart was begun and did not come to its end: %s", why).
		WithHint("look with `kubectl -n %s rollout status %s`; the secret itself is written", namespace, rest)
}

// waits says what a restart still waits for, "" when it is done; failed is that
// the controller has given up. The rules are those of `kubectl rollout status`.
func (w *workload) waits() (why string, failed bool) {
	switch {
	case w.Kind == "Deployment" && w.Spec.Paused, w.Kind != "Deployment" && w.Spec.UpdateStrategy.Type == "OnDelete":
		return "", false // when it goes on is somebody's to say
	case w.Status.ObservedGeneration < w.Generation:
		return "its controller has not seen the change", false
	}
	want := 1
	if w.Spec.Replicas != nil {
		want = *w.Spec.Replicas
	}
	switch w.Kind {
	case "Deployment":
		return w.Status.deployed(want)
	case "StatefulSet":
		return w.Status.updated(want, w.Spec.UpdateStrategy.RollingUpdate.Partition), false
	}
	return w.Status.scheduled(), false
}

func (s workloadStatus) deployed(want int) (why string, failed bool) {
	for _, c := range s.Conditions {
		if c.Type == "Progressing" && c.Reason == "ProgressDeadlineExceeded" {
			return "the Deployment made no progress within its own deadline", true
		}
	}
	switch {
	case s.Updated < want:
		return fmt.Sprintf("%d of %d new pods are made", s.Updated, want), false
	case s.Replicas > s.Updated:
		return fmt.Sprintf("%d old pods still run", s.Replicas-s.Updated), false
	case s.Available < s.Updated:
		return fmt.Sprintf("%d of %d new pods are available", s.Available, s.Updated), false
	}
	return "", false
}

// updated leaves those below the partition of a StatefulSet alone.
func (s workloadStatus) updated(want, partition int) string {
	switch made := max(want-partition, 0); {
	case s.Updated < made:
		return fmt.Sprintf("%d of %d new pods are made", s.Updated, made)
	case s.Ready < want:
		return fmt.Sprintf("%d of %d pods are ready", s.Ready, want)
	}
	return ""
}

func (s workloadStatus) scheduled() string {
	switch {
	case s.UpdatedScheduled < s.Desired:
		return fmt.Sprintf("%d of %d new pods are made", s.UpdatedScheduled, s.Desired)
	case s.NumberAvailable < s.Desired:
		return fmt.Sprintf("%d of %d new pods are available", s.NumberAvailable, s.Desired)
	}
	return ""
}
