package kubernetes

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
)

// This file reads what the controllers say of what they were given.

var _ providers.ConditionReader = (*Driver)(nil)

// status is what controllers write into theirs.
type controlled struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Status struct {
		ObservedGeneration    int64  `json:"observedGeneration"`    // of a SealedSecret
		SyncedResourceVersion string `json:"syncedResourceVersion"` // of an ExternalSecret: GENERATION-HASH
		Conditions            []struct {
			Type    string    `json:"type"`
			Status  string    `json:"status"`
			Reason  string    `json:"reason"`
			Message string    `json:"message"`
			Time    time.Time `json:"lastTransitionTime"`
		} `json:"conditions"`
	} `json:"status"`
}

// sealedKind is the controller's own kind.
var sealedKind = objectKind{"sealedsecret", resource{"sealedsecrets", "SealedSecret", "bitnami.com", []string{"apis", "bitnami.com", "v1alpha1"}}, false}

// Conditions implements [providers.ConditionReader]. What no controller has looked
// at yet has the reason "NotSeen".
func (d *Driver) Conditions(ctx context.Context, refs []providers.ObjectRef, sealed []string) ([]providers.Condition, error) {
	out := make([]providers.Condition, 0, len(refs)+len(sealed))
	var mu sync.Mutex
	var failed error
	look := func(k objectKind, kind, path, at, ready string) {
		l, err := d.getObject(ctx, k, at)
		var c providers.Condition
		if l != nil {
			c = l.condition(kind, path, ready)
		}
		if l != nil && kind == delivery.KindExternalSecret && !c.OK && c.Reason != notSeen {
			c.Text += d.storeTrouble(ctx, l)
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			failed = err
		case l != nil:
			out = append(out, c)
		}
	}
	jobs := map[string]func(){}
	for _, ref := range refs {
		switch ref.Kind {
		case delivery.KindExternalSecret, delivery.KindSecretStore, delivery.KindClusterSecretStore:
			k, lacks, err := d.kindOf(ctx, ref.Kind)
			if err != nil {
				return nil, err
			}
			if lacks == "" {
				jobs[ref.Kind+" "+ref.Path] = func() { look(k, ref.Kind, ref.Path, ref.Path, "Ready") }
			}
		}
	}
	for _, path := range sealed {
		jobs[kindSecret+" "+path] = func() { look(sealedKind, kindSecret, path, strings.TrimPrefix(path, sealedPrefix), "Synced") }
	}
	each(sortedKeys(jobs), func(name string) { jobs[name]() })
	return out, failed
}

// notSeen is the reason of what no controller has looked at.
const notSeen = "NotSeen"

// storeTrouble says what is wrong with the store of an external secret that is not
// synced, since its own condition does not; "" where nothing can be told.
func (d *Driver) storeTrouble(ctx context.Context, l *live) string {
	var of struct {
		Metadata struct {
			Namespace string `json:"namespace"`
		} `json:"metadata"`
		Spec struct {
			Store struct {
				Kind string `json:"kind"`
				Name string `json:"name"`
			} `json:"secretStoreRef"`
		} `json:"spec"`
	}
	if !l.into(&of) || !isSubdomain(of.Spec.Store.Name) {
		return ""
	}
	kind, path := delivery.KindSecretStore, of.Metadata.Namespace+"/"+of.Spec.Store.Name
	if of.Spec.Store.Kind == "ClusterSecretStore" {
		kind, path = delivery.KindClusterSecretStore, of.Spec.Store.Name
	}
	k, lacks, err := d.kindOf(ctx, kind)
	if err != nil || lacks != "" {
		return ""
	}
	store, err := d.getObject(ctx, k, path)
	switch {
	case err != nil:
		return ""
	case store == nil:
		return "; there is no " + k.resource.kind + " " + path
	}
	if c := store.condition(kind, path, "Ready"); !c.OK {
		return "; the " + k.resource.kind + " " + path + " is not ready: " + c.Text
	}
	return ""
}

// condition reads one, of the type that says whether all is well.
func (l *live) condition(kind, path, ready string) providers.Condition {
	c := providers.Condition{Kind: kind, Path: path, Reason: notSeen, Text: "no controller has looked at it"}
	var of controlled
	if !l.into(&of) {
		return c
	}
	for _, said := range of.Status.Conditions {
		if said.Type == ready {
			c.OK, c.Text, c.At = said.Status == "True", readable(said.Message), said.Time
			if c.Reason = word(said.Reason); said.Reason == "" { // as of the Sealed Secrets controller
				c.Reason = ready + "=" + word(said.Status)
			}
		}
	}
	switch kind {
	case delivery.KindExternalSecret:
		synced, _, _ := strings.Cut(of.Status.SyncedResourceVersion, "-")
		c.Stale = c.OK && synced != "" && synced != strconv.FormatInt(of.Metadata.Generation, 10)
	case kindSecret:
		c.Stale = of.Status.ObservedGeneration != 0 && of.Status.ObservedGeneration != of.Metadata.Generation
	}
	return c
}

// longestMessage bounds what is repeated of a controller.
const longestMessage = 300

// readable is a controller's message without what does not show.
func readable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longestMessage {
		text = strings.ToValidUTF8(text[:longestMessage], "") + "…"
	}
	return text
}
