package kubernetes

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"

	"github.com/cofferhq/coffer/state/remote"
)

// What does not fit into one Secret lies in several: parts, which never change,
// and the head, which names them. A write makes new parts first, then switches
// the head under its condition, then removes what no head will name again.
//
// Which parts those are needs no clock. A part is named only by a head that
// replaces the one which the part was made on top of. So a part that was there
// before a head was switched is either named by the new head, or by none, ever.
// Hence dead parts are looked for before the switch and removed after it.

// atOnce is how many parts are under way.
const atOnce = 8

// each does n things, some at once, and returns the first error.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		slots = make(chan struct{}, atOnce)
	)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(ctx, i); err != nil {
				once.Do(func() { first = err })
				cancel()
			}
		})
	}
	wg.Wait()
	return first
}

// writeParts makes the parts of a blob. One that is there is the same one: its
// name is made of its content.
func (b *blobs) writeParts(ctx context.Context, blob string, parts map[string][]byte) error {
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	err := each(ctx, len(names), func(ctx context.Context, i int) error {
		o := newObject(secrets, names[i], b.name)
		o.Metadata.Labels[labelBlob] = blob
		o.Type, o.Immutable = secretType("part"), true
		o.Data = map[string][]byte{keyPart: parts[names[i]]}
		_, _, err := b.object(ctx, request{op: opWrite, verb: create, resource: secrets, name: names[i], body: o})
		if errors.Is(err, remote.ErrConflict) {
			return nil
		}
		return err
	})
	if e, ok := errors.AsType[*remote.Error](err); ok {
		e.Unchanged = true // a part alone is nothing
	}
	return err
}

// readParts returns the stored parts of a manifest; [remote.ErrNotFound] means
// that one of them is not there.
func (b *blobs) readParts(ctx context.Context, m manifest) ([][]byte, error) {
	parts := make([][]byte, len(m.Parts))
	err := each(ctx, len(m.Parts), func(ctx context.Context, i int) error {
		o, _, err := b.object(ctx, request{op: opRead, verb: get, resource: secrets, name: m.Parts[i]})
		if err == nil {
			parts[i] = o.Data[keyPart]
		}
		return err
	})
	return parts, err
}

// deadAfter returns the parts that will be dead once the head of blob is
// switched to one that names keep. Where they cannot be listed, it is those that
// the present head is known to name: what a crash left then stays.
func (b *blobs) deadAfter(ctx context.Context, blob, match string, keep []string) []string {
	known, sure := b.recall(blob, match)
	if len(keep) == 0 && (match == "" || sure && len(known.parts) == 0) {
		return nil // neither needs parts
	}
	var found struct {
		Items []struct {
			Metadata metadata `json:"metadata"`
		} `json:"items"`
	}
	selector := url.Values{"labelSelector": {labelPartOf + "=" + b.name + "," + labelBlob + "=" + blob}}
	var names []string
	if sure {
		names = known.parts
	}
	if _, err := b.call(ctx, request{op: opRead, verb: list, resource: secrets, query: selector}, &found); err == nil {
		names = nil
		for _, item := range found.Items {
			names = append(names, item.Metadata.Name)
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(keep, name) || !isPart(b.name, name) })
}

// removeParts removes dead parts. One that stays does no harm: the next write
// finds it.
func (b *blobs) removeParts(ctx context.Context, names []string) {
	_ = each(ctx, len(names), func(ctx context.Context, i int) error {
		_ = b.delete(ctx, request{op: opDelete, verb: remove, resource: secrets, name: names[i]})
		return nil
	})
}
