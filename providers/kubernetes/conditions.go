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
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			failed = err
		case l != nil:
			out = append(out, l.condition(kind, path, ready))
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

// condition reads one, of the type that says whether all is well.
func (l *live) condition(kind, path, ready string) providers.Condition {
	c := providers.Condition{Kind: kind, Path: path, Reason: "NotSeen", Text: "no controller has looked at it"}
	var of controlled
	if !l.into(&of) {
		return c
	}
	for _, said := range of.Status.Conditions {
		if said.Type == ready {
			c.OK, c.Reason, c.Text, c.At = said.Status == "True", word(said.Reason), readable(said.Message), said.Time
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
