package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// Delete implements [providers.Driver]: every version up to ifVersion is
// soft-deleted. A version that somebody else makes at the same time stays, and
// is a Conflict.
func (d *Driver) Delete(ctx context.Context, p, ifVersion string) error {
	if err := d.within(p); err != nil {
		return err
	}
	mount, err := d.mounted(ctx)
	if err != nil || !mount.exists {
		return err
	}
	if mount.version == "1" {
		return d.deleteV1(ctx, p, ifVersion)
	}
	m, meta, err := d.look(ctx, p)
	switch {
	case err != nil:
		return err
	case m == nil || meta.IsDeleted() && !meta.Remains && meta.Version == ifVersion:
		return nil
	case meta.Version != ifVersion:
		return providers.Errorf(providers.Conflict, "the current version is %s, not %.40s", meta.Version, ifVersion)
	}
	if err := d.onVersions(ctx, "delete", p, m.choose(d.isLive)); err != nil {
		return err
	}
	return d.nobodyWrote(ctx, p, m.CurrentVersion)
}

// isLive reports whether a version can be read.
func (d *Driver) isLive(v *version) bool {
	at, err := v.deletedAt(d.now())
	return !v.Destroyed && (err != nil || at.IsZero())
}

// nobodyWrote checks after an effect on versions that no other was made.
func (d *Driver) nobodyWrote(ctx context.Context, p string, last int) error {
	m, _, err := d.look(ctx, p)
	switch {
	case err != nil:
		return doubt(err, "versions up to %d are deleted, and whether somebody wrote another is not known", last)
	case m != nil && m.CurrentVersion != last:
		return providers.Errorf(providers.Conflict, "somebody else wrote version %d meanwhile: it lives, versions up to %d are deleted", m.CurrentVersion, last)
	}
	return nil
}

// look returns the metadata of a secret, nil where there is none.
func (d *Driver) look(ctx context.Context, p string) (*metadata, providers.Meta, error) {
	m, err := d.readMetadata(ctx, p)
	if err != nil {
		if providers.CodeOf(err) == providers.NotFound {
			err = nil
		}
		return nil, providers.Meta{}, err
	}
	meta, ok, err := d.meta(m)
	if !ok {
		m = nil
	}
	return m, meta, err
}

// choose returns the numbers of some versions, in order.
func (m *metadata) choose(want func(*version) bool) []int {
	var numbers []int
	for name, v := range m.Versions {
		if n, err := strconv.Atoi(name); err == nil && v != nil && want(v) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// onVersions deletes, undeletes or destroys versions.
func (d *Driver) onVersions(ctx context.Context, what, p string, versions []int) error {
	method := http.MethodPost
	if what == "destroy" {
		method = http.MethodPut
	}
	return d.client.do(ctx, request{method: method, path: d.api(what, p), body: map[string]any{"versions": versions}})
}

// together is how far apart the times of versions can be that one delete made:
// servers take the time of each anew, and OpenBao tells it by the second.
const together = time.Second

// Undelete implements [providers.Restorer]: the versions that the last delete
// took are live again, destroyed ones never.
func (d *Driver) Undelete(ctx context.Context, p string) (providers.Meta, error) {
	if err := d.within(p); err != nil {
		return providers.Meta{}, err
	}
	if mount, err := d.mounted(ctx); err != nil || !mount.exists {
		return providers.Meta{}, orElse(err, d.missingMount())
	}
	m, meta, err := d.look(ctx, p)
	switch {
	case err != nil:
		return providers.Meta{}, err
	case m == nil:
		return providers.Meta{}, providers.Errorf(providers.NotFound, "nothing is left of the secret")
	case !meta.IsDeleted():
		return meta, nil
	}
	versions := m.choose(func(v *version) bool {
		at, err := v.deletedAt(d.now())
		return err == nil && !v.Destroyed && !at.IsZero() && meta.Deleted.Sub(at).Abs() <= together
	})
	if err := d.onVersions(ctx, "undelete", p, versions); err != nil {
		return providers.Meta{}, err
	}
	meta.Deleted = time.Time{}
	return meta, nil
}

func orElse(err error, other *providers.Error) error {
	if err != nil {
		return err
	}
	return other
}

// Purge implements [providers.Purger]: every version is destroyed, and then the
// metadata is deleted, so that the name is free.
func (d *Driver) Purge(ctx context.Context, p, ifVersion string) error {
	if err := d.within(p); err != nil {
		return err
	}
	if mount, err := d.mounted(ctx); err != nil || !mount.exists {
		return err
	}
	m, err := d.readMetadata(ctx, p)
	if err != nil {
		if providers.CodeOf(err) == providers.NotFound {
			return nil
		}
		return err
	}
	meta, left, err := d.meta(m)
	switch {
	case err != nil:
		return err
	case strconv.Itoa(m.CurrentVersion) != ifVersion:
		return providers.Errorf(providers.Conflict, "the current version is %d, not %.40s", m.CurrentVersion, ifVersion)
	case left && !meta.IsDeleted():
		return providers.Errorf(providers.Conflict, "version %s is live: delete it first", meta.Version)
	}
	versions := m.choose(func(v *version) bool { return !v.Destroyed })
	if len(versions) > 0 {
		if err := d.onVersions(ctx, "destroy", p, versions); err != nil {
			return err
		}
	}
	again, err := d.readMetadata(ctx, p)
	switch {
	case err != nil && providers.CodeOf(err) == providers.NotFound:
		return nil
	case err != nil:
		return doubt(err, halfPurged)
	case again.CurrentVersion != m.CurrentVersion:
		return providers.Errorf(providers.Conflict, "somebody else wrote version %d meanwhile: it lives, versions up to %d are destroyed", again.CurrentVersion, m.CurrentVersion)
	}
	if err := d.client.do(ctx, request{method: http.MethodDelete, path: d.api("metadata", p)}); err != nil {
		return doubt(err, halfPurged)
	}
	return nil
}

const halfPurged = "every version is destroyed, and the metadata is left"

// doubt is the error of a change of several steps that some of them were made
// of when err came.
func doubt(err error, format string, args ...any) error {
	e := providers.Errorf(providers.Ambiguous, "%s: %w", fmt.Sprintf(format, args...), err)
	var why *providers.Error
	if errors.As(err, &why) {
		e.Hint = why.Hint
	}
	return e
}
