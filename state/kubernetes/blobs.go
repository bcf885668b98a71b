package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/state/remote"
)

// blobs implements [remote.Blobs].
type blobs struct {
	*client

	mu sync.Mutex
	// known are the heads as this process last saw them, by blob: nothing rests
	// on it but what others added to them, and how soon old parts are removed.
	known map[string]head
}

var _ remote.Blobs = (*blobs)(nil)

type head struct {
	*object
	parts []string
}

// The operations of a remote.Error.
const (
	opRead   = "read"
	opWrite  = "write"
	opDelete = "delete"
)

func (b *blobs) String() string { return b.place }

// where returns the object that holds a blob.
func (b *blobs) where(blob string) (resource, string) {
	switch blob {
	case remote.StateBlob:
		return secrets, b.name
	case remote.LockBlob:
		return leases, b.name + "." + blob
	}
	return secrets, b.name + "." + strings.ToLower(blob)
}

func (b *blobs) remember(blob string, o *object, parts []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[blob] = head{o, parts}
}

// recall returns the head of a tag, if it is the one last seen.
func (b *blobs) recall(blob, tag string) (head, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, ok := b.known[blob]
	return h, ok && h.Metadata.tag() == tag
}

// readAttempts bounds how often a read begins anew because a write removed the
// parts under its hands.
const readAttempts = 5

// Get implements [remote.Blobs].
func (b *blobs) Get(ctx context.Context, blob string) (remote.Blob, error) {
	kind, name := b.where(blob)
	r := request{op: opRead, verb: get, resource: kind, name: name}
	last := ""
	for range readAttempts {
		o, header, err := b.object(ctx, r)
		if err != nil {
			return remote.Blob{}, err
		}
		tag := o.Metadata.tag()
		data, parts, err := b.content(ctx, r, o)
		switch {
		case errors.Is(err, remote.ErrNotFound) && tag == last:
			return remote.Blob{}, b.fail(r, &remote.Error{
				Code: remote.Invalid, Err: errors.New("it names a part that is not there"), Hint: fromBackup,
			})
		case errors.Is(err, remote.ErrNotFound):
			last = tag
			continue
		case err != nil:
			return remote.Blob{}, err
		}
		b.remember(blob, o, parts)
		return remote.Blob{Data: data, Tag: tag, Age: o.Metadata.age(header)}, nil
	}
	return remote.Blob{}, b.fail(r, &remote.Error{Code: remote.Busy, Err: errors.New("it is written again and again while it is read")})
}

const fromBackup = "somebody removed or edited Secrets of the state: bring them back from a backup of the namespace, all from one time"

// content returns the blob that an object holds, and the parts it lies in.
// [remote.ErrNotFound] means that a part is missing.
func (b *blobs) content(ctx context.Context, r request, o *object) (data []byte, parts []string, err error) {
	plain, isPlain := o.Data[keyPlain]
	zipped, isZipped := o.Data[keyGzip]
	list, isList := o.Data[keyParts]
	switch {
	case o.Kind == leases.kind:
		if data, ok := o.lock(); ok {
			return data, nil, nil
		}
		return nil, nil, b.fail(r, notOurs(leases))
	case isPlain:
		return plain, nil, nil
	case isZipped:
		data, err = unpack(zipped, true)
	case isList:
		m, bad := manifestOf(b.name, list)
		if bad != nil {
			err = bad
			break
		}
		stored, unread := b.readParts(ctx, m)
		if unread != nil {
			return nil, nil, unread
		}
		parts = m.Parts
		data, err = m.join(stored)
	default:
		return nil, nil, b.fail(r, notOurs(secrets))
	}
	if err != nil {
		err = b.fail(r, &remote.Error{Code: remote.Invalid, Err: fmt.Errorf("its content is damaged: %w", err), Hint: fromBackup})
	}
	return data, parts, err
}

// Put implements [remote.Blobs].
func (b *blobs) Put(ctx context.Context, blob string, data []byte, match string) (string, error) {
	kind, name := b.where(blob)
	r := request{op: opWrite, verb: create, resource: kind, name: name}
	o := newObject(kind, name, b.name)
	if match != "" {
		r.verb = update
		o.Metadata.Annotations[replaces] = match
		var ok bool
		if o.Metadata.UID, o.Metadata.ResourceVersion, ok = splitTag(match); !ok {
			return "", remote.ErrConflict
		}
	}
	keep, err := b.fill(ctx, r, o, blob, data, match)
	if err != nil {
		return "", err
	}
	var dead []string
	if kind.kind == secrets.kind {
		dead = b.deadAfter(ctx, blob, match, keep)
	}
	r.body = o
	done, err := b.write(ctx, r, blob, match)
	if err != nil {
		return "", err
	}
	b.remember(blob, done, keep)
	b.removeParts(ctx, dead)
	return done.Metadata.tag(), nil
}

// writeAttempts bounds how often a refused write is made on top of what somebody
// did to the object's labels.
const writeAttempts = 3

// write writes r.body. Kubernetes has one version for content and metadata
// together, so a controller that labels every Secret would look like another
// run: where the content is still the one that match names, the write is made
// again on top of it.
func (b *blobs) write(ctx context.Context, r request, blob, match string) (*object, error) {
	o := r.body.(*object)
	old, known := b.recall(blob, match)
	if known {
		o.carry(old.Metadata.carried)
	}
	for attempt := 1; ; attempt++ {
		done, _, err := b.object(ctx, r)
		if !errors.Is(err, remote.ErrConflict) || !known || attempt == writeAttempts {
			return done, err
		}
		now, _, look := b.object(ctx, request{op: opRead, verb: get, resource: r.resource, name: r.name})
		if look != nil || !now.same(old.object) {
			return nil, err // nothing was written, whatever the look came to
		}
		o.Metadata.ResourceVersion = now.Metadata.ResourceVersion
		o.carry(now.Metadata.carried)
	}
}

// fill puts data into a Lease, into a Secret, or into parts that a Secret then
// names. It returns their names.
func (b *blobs) fill(ctx context.Context, r request, o *object, blob string, data []byte, match string) ([]string, error) {
	if r.resource.kind == leases.kind {
		if len(data) > maxLock {
			return nil, b.fail(r, tooLarge(len(data), maxLock))
		}
		o.Metadata.Annotations[description] = "Who works with the Coffer state " + b.name + ". Written by Coffer only."
		o.setLock(data)
		return nil, nil
	}
	if len(data) > remote.MaxBytes {
		return nil, b.fail(r, tooLarge(len(data), remote.MaxBytes))
	}
	o.Metadata.Annotations[description] = "The " + blob + " of the Coffer state " + b.name + ". Written by Coffer only."
	o.Type = secretType(strings.SplitN(blob, "-", 2)[0])
	stored, zipped, err := pack(data)
	if err != nil {
		return nil, b.fail(r, &remote.Error{Code: remote.Invalid, Unchanged: true, Err: err})
	}
	switch {
	case len(stored) <= partBytes && zipped:
		o.Data = map[string][]byte{keyGzip: stored}
		return nil, nil
	case len(stored) <= partBytes:
		o.Data = map[string][]byte{keyPlain: stored}
		return nil, nil
	}
	m, parts := split(b.name, blob, match, stored, zipped)
	text, err := json.Marshal(m)
	if err != nil {
		return nil, b.fail(r, &remote.Error{Code: remote.Invalid, Unchanged: true, Err: err})
	}
	o.Data = map[string][]byte{keyParts: text}
	return m.Parts, b.writeParts(ctx, blob, parts)
}

// secretType is what `kubectl get secrets` shows. Kubernetes never changes it.
func secretType(kind string) string { return "coffer/" + kind }

func tooLarge(n, most int) *remote.Error {
	return &remote.Error{
		Code: remote.Invalid, Unchanged: true, Err: fmt.Errorf("it has %d bytes, and %d are the most", n, most),
		Hint: "split the project",
	}
}

// Delete implements [remote.Blobs]. Parts stay, for the next write to remove:
// only probes are deleted, and they have none.
func (b *blobs) Delete(ctx context.Context, blob, match string) error {
	kind, name := b.where(blob)
	body := preconditions{APIVersion: "v1", Kind: "DeleteOptions"}
	var ok bool
	if body.Preconditions.UID, body.Preconditions.ResourceVersion, ok = splitTag(match); !ok {
		return remote.ErrConflict
	}
	return b.delete(ctx, request{op: opDelete, verb: remove, resource: kind, name: name, body: body})
}
