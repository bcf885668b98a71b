package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"path"
	"sync"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// versionV1 is the version of everything on KV version 1, which tells of a
// secret that it exists and no more. A digest of the value would tell when it
// changed, and would be the value's own fingerprint in the state; a marker
// beside the value would be seen by every program that reads it. So a change
// by others is not seen there, and a race is not prevented.
const versionV1 = "1"

// inspectV1 tells what exists from the lists of the folders; no value is read.
func (d *Driver) inspectV1(ctx context.Context, paths []string, found map[string]providers.Meta, partial *providers.PartialError) error {
	folders := map[string][]string{}
	var order []string
	for _, p := range paths {
		folder := folderOf(p)
		if folders[folder] == nil {
			order = append(order, folder)
		}
		folders[folder] = append(folders[folder], p)
	}
	var mu sync.Mutex
	return parallel(ctx, order, func(ctx context.Context, folder string) error {
		keys, err := d.listFolder(ctx, "", folder)
		if err != nil && (ctx.Err() != nil || providers.CodeOf(err) == providers.Unavailable) {
			return err
		}
		there := map[string]bool{}
		for _, key := range keys {
			there[path.Join(folder, key)] = key[len(key)-1] != '/' || there[path.Join(folder, key)]
		}
		mu.Lock()
		defer mu.Unlock()
		for _, p := range folders[folder] {
			if err != nil {
				partial.Paths[p] = err
			} else if there[p] {
				found[p] = providers.Meta{Version: versionV1}
			}
		}
		return nil
	})
}

func folderOf(p string) string {
	if folder := path.Dir(p); folder != "." {
		return folder
	}
	return ""
}

func (d *Driver) listV1(ctx context.Context) (map[string]providers.Meta, error) {
	paths, err := d.walkPaths(ctx, "")
	if err != nil {
		return nil, err
	}
	found := make(map[string]providers.Meta, len(paths))
	for _, p := range paths {
		found[p] = providers.Meta{Version: versionV1}
	}
	return found, nil
}

func (d *Driver) readV1(ctx context.Context, p, version string) (secret.Value, error) {
	if version != "" && version != versionV1 {
		return secret.Value{}, providers.Errorf(providers.NotFound, "there is no version %.40q: KV version 1 keeps none", version)
	}
	var answer struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if err := d.client.do(ctx, request{method: http.MethodGet, path: d.config.Mount + "/" + p, into: &answer}); err != nil {
		return secret.Value{}, err
	}
	return decodeValue(answer.Data)
}

// checkV1 compares what exists with the precondition. Between it and the effect
// somebody else may write.
func (d *Driver) checkV1(ctx context.Context, p, ifVersion string) (exists bool, err error) {
	found := map[string]providers.Meta{}
	partial := &providers.PartialError{Paths: map[string]error{}}
	if err := d.inspectV1(ctx, []string{p}, found, partial); err != nil {
		return false, err
	}
	if err := partial.Paths[p]; err != nil {
		return false, err
	}
	switch live := found[p].Version; {
	case live == ifVersion:
		return live != "", nil
	case live == "":
		return false, providers.Errorf(providers.Conflict, "the secret is gone")
	case ifVersion == "":
		return true, providers.Errorf(providers.Conflict, "a secret exists already")
	}
	return true, providers.Errorf(providers.Conflict, "there is no version %.40q", ifVersion)
}

func (d *Driver) writeV1(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	if req.Value.IsZero() {
		return providers.Meta{}, providers.Errorf(providers.Invalid, "there is no value to write")
	}
	if _, err := d.checkV1(ctx, req.Path, req.IfVersion); err != nil {
		return providers.Meta{}, err
	}
	doc := document{Data: map[string]*string{}}
	if err := doc.put(req.Value); err != nil {
		return providers.Meta{}, err
	}
	body, err := json.Marshal(doc.Data)
	if err != nil {
		return providers.Meta{}, providers.Errorf(providers.Invalid, "the value cannot be encoded")
	}
	if err := d.client.do(ctx, request{method: http.MethodPost, path: d.config.Mount + "/" + req.Path, body: rawBody(body)}); err != nil {
		return providers.Meta{}, err
	}
	return providers.Meta{Version: versionV1}, nil
}

// deleteV1 deletes for good: KV version 1 keeps nothing.
func (d *Driver) deleteV1(ctx context.Context, p, ifVersion string) error {
	exists, err := d.checkV1(ctx, p, ifVersion)
	if !exists && providers.CodeOf(err) == providers.Conflict {
		return nil
	}
	if err != nil || !exists {
		return err
	}
	return d.client.do(ctx, request{method: http.MethodDelete, path: d.config.Mount + "/" + p})
}
