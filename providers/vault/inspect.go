package vault

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/providers"
)

// giveUp is how many paths may fail because the server is not there before the
// others are not even asked for.
const giveUp = 8

// mostFolders ends the walk through a server that lists a folder in itself.
const mostFolders = 100_000

// Inspect implements [providers.Driver]. Several paths are one scan of the
// folder that they share, where the server has that (OpenBao) and the token may
// use it; else each is a request of its own. Below a mount that does not exist
// is nothing.
func (d *Driver) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	return d.lookAt(ctx, paths, d.inspect)
}

// Probe implements [providers.Prober]: a request for each path. A policy of
// OpenBao can filter what lists and scans show.
func (d *Driver) Probe(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	return d.lookAt(ctx, paths, func(ctx context.Context, paths []string, found map[string]providers.Meta, partial *providers.PartialError) error {
		if m, err := d.mounted(ctx); err != nil || !m.exists {
			return err
		}
		return d.inspectEach(ctx, paths, found, partial)
	})
}

type asking func(ctx context.Context, paths []string, found map[string]providers.Meta, partial *providers.PartialError) error

func (d *Driver) lookAt(ctx context.Context, paths []string, look asking) (map[string]providers.Meta, error) {
	found := make(map[string]providers.Meta, len(paths))
	partial := &providers.PartialError{Paths: map[string]error{}}
	var ask []string
	for _, p := range paths {
		if err := d.within(p); err != nil {
			partial.Paths[p] = err
			continue
		}
		ask = append(ask, p)
	}
	err := look(ctx, ask, found, partial)
	switch {
	case err != nil:
		return nil, err
	case len(partial.Paths) > 0:
		return found, partial
	}
	return found, nil
}

func (d *Driver) inspect(ctx context.Context, paths []string, found map[string]providers.Meta, partial *providers.PartialError) error {
	if len(paths) == 0 {
		return nil
	}
	m, err := d.mounted(ctx)
	if err != nil || !m.exists {
		return err
	}
	if m.version == "1" {
		return d.inspectV1(ctx, paths, found, partial)
	}
	if len(paths) > 1 {
		folder := commonFolder(paths)
		all, ok, err := d.scan(ctx, folder)
		if err != nil {
			return err
		}
		if ok {
			return d.pick(folder, all, paths, found, partial)
		}
	}
	return d.inspectEach(ctx, paths, found, partial)
}

// pick takes the wanted paths out of a scan.
func (d *Driver) pick(folder string, all map[string]*metadata, paths []string, found map[string]providers.Meta, partial *providers.PartialError) error {
	for _, p := range paths {
		m := all[strings.TrimPrefix(strings.TrimPrefix(p, folder), "/")]
		if m == nil {
			continue
		}
		meta, ok, err := d.meta(m)
		switch {
		case err != nil:
			partial.Paths[p] = err
		case ok:
			found[p] = meta
		}
	}
	return nil
}

// inspectEach asks for each path. Errors of a path are its own; where the
// server is not there at all, the answer is one error.
func (d *Driver) inspectEach(ctx context.Context, paths []string, found map[string]providers.Meta, partial *providers.PartialError) error {
	var mu sync.Mutex
	down := 0
	return parallel(ctx, paths, func(ctx context.Context, p string) error {
		m, err := d.readMetadata(ctx, p)
		var meta providers.Meta
		var ok bool
		if err == nil {
			meta, ok, err = d.meta(m)
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case providers.CodeOf(err) == providers.NotFound && err != nil:
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			partial.Paths[p] = err
			if providers.CodeOf(err) == providers.Unavailable {
				down++
			}
			if down > giveUp {
				return err
			}
		case ok:
			found[p] = meta
		}
		return nil
	})
}

// readMetadata returns the metadata of one secret; NotFound where there is
// none.
func (d *Driver) readMetadata(ctx context.Context, p string) (*metadata, error) {
	var answer struct {
		Data *metadata `json:"data"`
	}
	err := d.client.do(ctx, request{method: http.MethodGet, path: d.api("metadata", p), into: &answer})
	if err != nil {
		return nil, err
	}
	if answer.Data == nil {
		return nil, providers.Errorf(providers.Unavailable, "the answer holds no metadata")
	}
	return answer.Data, nil
}

// parallel calls f for every item, with at most [concurrency] at once. The first
// error ends it and is returned.
func parallel[T any](ctx context.Context, items []T, f func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan T)
	var wg sync.WaitGroup
	for range min(concurrency, len(items)) {
		wg.Go(func() {
			for item := range next {
				if err := f(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, item := range items {
		select {
		case next <- item:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wg.Wait()
	return ending(ctx)
}

// ending is the error that ended ctx, nil for one that has not ended.
func ending(ctx context.Context) error {
	err := context.Cause(ctx)
	var e *providers.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return providers.Errorf(providers.Cancelled, "%w", err)
}

// commonFolder returns the deepest folder that holds all paths, "" for the
// mount itself.
func commonFolder(paths []string) string {
	folder := path.Dir(paths[0])
	for _, p := range paths[1:] {
		for folder != "." && !strings.HasPrefix(p, folder+"/") {
			folder = path.Dir(folder)
		}
	}
	if folder == "." {
		return ""
	}
	return folder
}

// scan returns the metadata of everything below a folder, by the path below it,
// in one request. ok is false where the server has no such call or the token
// may not use it there, which is remembered.
func (d *Driver) scan(ctx context.Context, folder string) (all map[string]*metadata, ok bool, err error) {
	d.mu.Lock()
	cannot := d.noScan || d.unscanned[folder]
	d.mu.Unlock()
	if cannot {
		return nil, false, nil
	}
	var answer scanAnswer
	err = d.client.do(ctx, request{
		method: methodScan, path: d.api("detailed-metadata", folder), into: &answer, optional: true,
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	switch providers.CodeOf(err) {
	case providers.Denied:
		d.unscanned[folder] = true
	case providers.NotFound:
		// Nothing but a status may also mean that nothing is there.
		if said(err, wordsNoRoute) || said(err, "unsupported") || said(err, "Invalid path") {
			d.noScan = true
		}
	case providers.Unsupported, providers.Invalid:
		d.noScan = true
	default:
		if err != nil {
			return nil, false, err
		}
		if answer.Data == nil {
			return nil, false, providers.Errorf(providers.Unavailable, "the answer of the scan holds nothing, not even an empty list")
		}
		for _, key := range answer.Data.Keys {
			if answer.Data.KeyInfo[key] == nil && !strings.HasSuffix(key, "/") {
				return nil, false, providers.Errorf(providers.Unavailable, "the answer of the scan names %q and tells nothing of it", key)
			}
		}
		return answer.Data.KeyInfo, true, nil
	}
	return nil, false, nil
}

// List implements [providers.Lister]: one scan, or a walk through the folders.
func (d *Driver) List(ctx context.Context) (map[string]providers.Meta, error) {
	m, err := d.mounted(ctx)
	if err != nil || !m.exists {
		return map[string]providers.Meta{}, err
	}
	if m.version == "1" {
		return d.listV1(ctx)
	}
	all, ok, err := d.scan(ctx, d.config.Prefix)
	if err != nil {
		return nil, err
	}
	if !ok {
		return d.walk(ctx)
	}
	found := make(map[string]providers.Meta, len(all))
	for key, m := range all {
		if m == nil {
			continue
		}
		p := path.Join(d.config.Prefix, key)
		meta, ok, err := d.meta(m)
		if err != nil {
			return nil, at(p, err)
		}
		if ok {
			found[p] = meta
		}
	}
	return found, nil
}

// at names the path that an error is about.
func at(p string, err error) error {
	var e *providers.Error
	if errors.As(err, &e) && e.Path == "" {
		e.Path = p
	}
	return err
}

// walk lists without a scan.
func (d *Driver) walk(ctx context.Context) (map[string]providers.Meta, error) {
	paths, err := d.walkPaths(ctx, "metadata")
	if err != nil {
		return nil, err
	}
	found := make(map[string]providers.Meta, len(paths))
	partial := &providers.PartialError{Paths: map[string]error{}}
	if err := d.inspectEach(ctx, paths, found, partial); err != nil {
		return nil, err
	}
	for p, err := range partial.Paths {
		return nil, at(p, err)
	}
	return found, nil
}

// walkPaths lists the paths of all secrets below the prefix, folder by folder,
// level by level. part is the part of the API that lists, "" on KV version 1.
func (d *Driver) walkPaths(ctx context.Context, part string) ([]string, error) {
	var paths []string
	level := []string{d.config.Prefix}
	folders := 0
	for len(level) > 0 {
		var mu sync.Mutex
		var next []string
		err := parallel(ctx, level, func(ctx context.Context, folder string) error {
			keys, err := d.listFolder(ctx, part, folder)
			mu.Lock()
			defer mu.Unlock()
			for _, key := range keys {
				if below, isFolder := strings.CutSuffix(key, "/"); isFolder {
					next = append(next, path.Join(folder, below))
				} else {
					paths = append(paths, path.Join(folder, key))
				}
			}
			return at(folder, err)
		})
		if err != nil {
			return nil, err
		}
		if folders += len(next); folders > mostFolders {
			return nil, providers.Errorf(providers.Invalid, "there are more than %d folders below %q", mostFolders, d.config.Prefix).
				WithHint("write a prefix into the provider block")
		}
		level = next
	}
	return paths, nil
}

// listFolder returns the keys of one folder, none for one that does not exist.
func (d *Driver) listFolder(ctx context.Context, part, folder string) ([]string, error) {
	var answer struct {
		Data *struct {
			Keys []string `json:"keys"`
		} `json:"data"`
	}
	where := d.api(part, folder)
	if part == "" {
		where = path.Join(d.config.Mount, folder)
	}
	err := d.client.do(ctx, request{method: methodList, path: where, into: &answer})
	switch {
	case err != nil && providers.CodeOf(err) == providers.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case answer.Data == nil:
		return nil, providers.Errorf(providers.Unavailable, "the answer of the list holds nothing, not even an empty one")
	}
	return answer.Data.Keys, nil
}
