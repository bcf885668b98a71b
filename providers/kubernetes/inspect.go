package kubernetes

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

const (
	// few is how many Secrets of one namespace are asked for one by one: more are
	// told faster by one list.
	few = 3
	// pageSize is how many a list gives at once.
	pageSize = 500
	// relists is how often a list starts anew because its pages took too long.
	relists = 3
)

// Inspect implements [providers.Driver]: one list of metadata for each
// namespace, or where that is denied, or of few, one request for each path.
func (d *Driver) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	a := newAnswers()
	byNamespace, sealedIn := map[string][]string{}, map[string][]string{}
	for _, path := range paths {
		if err := d.check(path); err != nil {
			a.failed[path] = err
			continue
		}
		namespace, _ := split(path)
		if _, sealed := cutSealed(path); sealed {
			sealedIn[namespace] = append(sealedIn[namespace], path)
			continue
		}
		byNamespace[namespace] = append(byNamespace[namespace], path)
	}
	each(sortedKeys(byNamespace), func(namespace string) { d.inspectIn(ctx, namespace, byNamespace[namespace], a) })
	each(sortedKeys(sealedIn), func(namespace string) { d.sealedIn(ctx, namespace, sealedIn[namespace], a) })
	d.settle(ctx, a)
	if err := ctx.Err(); err != nil {
		return nil, providers.Errorf(providers.Cancelled, "%w", err)
	}
	if len(a.failed) > 0 {
		return a.metas(), &providers.PartialError{Paths: a.failed}
	}
	return a.metas(), nil
}

// settle looks again at what somebody changed a moment ago, once its time tells
// that change from the next one. Without that, the version that a person accepts
// right after a change would be another one a second later.
func (d *Driver) settle(ctx context.Context, a *answers) {
	var young []string
	var wait time.Duration
	for path, m := range a.found {
		// Where the server does not tell the time, waiting does not help.
		if youth := m.youth(); youth > 0 && !m.asked.IsZero() && !m.written() {
			young, wait = append(young, path), max(wait, youth)
		}
	}
	if len(young) == 0 {
		return
	}
	timer := time.NewTimer(min(wait, settled) + untilShown)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	each(young, func(path string) {
		m, err := d.find(ctx, path)
		a.put(path, m, err)
	})
}

// answers gathers what is known of paths.
type answers struct {
	mu     sync.Mutex
	found  map[string]*metadata
	sealed map[string]providers.Meta
	failed map[string]error
}

func newAnswers() *answers {
	return &answers{found: map[string]*metadata{}, sealed: map[string]providers.Meta{}, failed: map[string]error{}}
}

func (a *answers) put(path string, m *metadata, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.found, path)
	switch {
	case err != nil:
		a.failed[path] = err
	case m != nil:
		a.found[path] = m
	}
}

func (a *answers) metas() map[string]providers.Meta {
	metas := make(map[string]providers.Meta, len(a.found))
	for path, m := range a.found {
		metas[path] = m.meta()
	}
	maps.Copy(metas, a.sealed)
	return metas
}

func (d *Driver) inspectIn(ctx context.Context, namespace string, paths []string, a *answers) {
	if len(paths) > few {
		all, err := d.listIn(ctx, namespace)
		if err == nil || providers.CodeOf(err) != providers.Denied {
			for _, path := range paths {
				a.put(path, all[path], err)
			}
			return
		}
	}
	each(paths, func(path string) {
		m, err := d.find(ctx, path)
		a.put(path, m, err)
	})
}

// each calls f for every one of a list, some at once.
func each(list []string, f func(string)) {
	slots := make(chan struct{}, concurrency)
	var wg sync.WaitGroup
	for _, one := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(one)
		})
	}
	wg.Wait()
}

// find returns the metadata of one Secret, nil where there is none.
func (d *Driver) find(ctx context.Context, path string) (*metadata, error) {
	namespace, name := split(path)
	m, err := d.client.look(ctx, request{verb: get, resource: secrets, namespace: namespace, name: name})
	if err != nil && providers.CodeOf(err) == providers.NotFound {
		return nil, nil
	}
	return m, err
}

// List implements [providers.Lister]: all of the block's namespace.
func (d *Driver) List(ctx context.Context) (map[string]providers.Meta, error) {
	all, err := d.listIn(ctx, d.namespace)
	if err != nil {
		return nil, err
	}
	a := newAnswers()
	a.found = all
	if err := d.listSealed(ctx, d.namespace, a.sealed); err != nil {
		return nil, err
	}
	d.settle(ctx, a)
	if err := ctx.Err(); err != nil {
		return nil, providers.Errorf(providers.Cancelled, "%w", err)
	}
	for _, err := range a.failed {
		return nil, err
	}
	return a.metas(), nil
}

// listIn returns the metadata of every Secret of a namespace by path.
func (d *Driver) listIn(ctx context.Context, namespace string) (map[string]*metadata, error) {
	for range relists {
		found, err := d.pages(ctx, namespace)
		if err == nil || !errors.Is(err, errExpired) {
			return found, err
		}
	}
	return nil, providers.Errorf(providers.Unavailable, "the namespace %q changes faster than it can be listed", namespace)
}

// page is one page of a list.
type page struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Continue string `json:"continue"`
	} `json:"metadata"`
	Items []object `json:"items"`
}

func (d *Driver) pages(ctx context.Context, namespace string) (map[string]*metadata, error) {
	found := map[string]*metadata{}
	r := request{verb: list, resource: secrets, namespace: namespace, shape: metadataList, query: url.Values{"limit": {strconv.Itoa(pageSize)}}}
	for {
		var p page
		a, err := d.client.do(ctx, r, &p)
		if err != nil {
			return nil, err
		}
		if p.Kind != "PartialObjectMetadataList" {
			return nil, d.client.strange(r, http.StatusOK)
		}
		for i := range p.Items {
			m := &p.Items[i].Metadata
			if m.Name == "" || m.UID == "" || m.ResourceVersion == "" {
				return nil, d.client.strange(r, http.StatusOK)
			}
			m.asked = a.asked
			found[namespace+"/"+m.Name] = m
		}
		if p.Metadata.Continue == "" {
			return found, nil
		}
		r.query.Set("continue", p.Metadata.Continue)
	}
}

// Read implements [providers.Driver].
func (d *Driver) Read(ctx context.Context, path, version string) (secret.Value, error) {
	if err := d.check(path); err != nil {
		return secret.Value{}, err
	}
	if _, sealed := cutSealed(path); sealed {
		return unreadable(path)
	}
	namespace, name := split(path)
	r := request{verb: get, resource: secrets, namespace: namespace, name: name, shape: whole}
	var o struct {
		object
		Data map[string][]byte `json:"data"` // plaintext
	}
	a, err := d.client.do(ctx, r, &o)
	if err != nil {
		return secret.Value{}, err
	}
	if o.Kind != secrets.kind || o.Metadata.Name != name {
		return secret.Value{}, d.client.strange(r, http.StatusOK)
	}
	o.Metadata.asked = a.asked
	if version != "" && !o.Metadata.is(version) {
		return secret.Value{}, providers.Errorf(providers.NotFound, "there is no version %.60s: a Secret keeps none but the live one", version)
	}
	return Value(o.Data), nil
}
