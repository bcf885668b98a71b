package gcs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/cofferhq/coffer/state/remote"
)

// mostPages is where a list of versions ends, 1000 each.
const mostPages = 100

// listing is a page of the versions of objects.
type listing struct {
	Kind  string
	Items []struct {
		Name, Generation, Size   string
		TimeCreated, TimeDeleted string
	}
	NextPageToken string
}

// History implements [remote.Historian]. A list takes one request for each
// thousand versions, and one more where there is only what is live.
func (b *blobs) History(ctx context.Context, name string) ([]remote.Version, error) {
	r := b.request("list the versions", name)
	query := url.Values{
		"versions": {"true"}, "prefix": {r.key}, "maxResults": {"1000"},
		"fields": {"kind,nextPageToken,items(name,generation,size,timeCreated,timeDeleted)"},
	}
	var versions []remote.Version
	for range mostPages {
		data, _, err := r.do(ctx, http.MethodGet, b.bucket()+"/o", query, "", nil)
		if err != nil {
			return nil, err
		}
		var page listing
		if json.Unmarshal(data, &page) != nil || page.Kind != "storage#objects" {
			return nil, r.error(remote.Unreachable, errors.New("the answer is no list of objects"), hintStranger)
		}
		past := false // at an object whose name goes on behind ours
		for _, item := range page.Items {
			if item.Name != r.key {
				past = true
				continue
			}
			written, err := time.Parse(time.RFC3339, item.TimeCreated)
			size, err2 := strconv.ParseInt(item.Size, 10, 64)
			if err != nil || err2 != nil || !isGeneration(item.Generation) {
				return nil, r.error(remote.Unreachable, errors.New("the answer is no list of objects"), hintStranger)
			}
			versions = append(versions, remote.Version{ID: item.Generation, Written: written, Bytes: size, Latest: item.TimeDeleted == ""})
		}
		if past || page.NextPageToken == "" {
			slices.SortFunc(versions, newestFirst)
			return b.kept(ctx, r, versions)
		}
		query.Set("pageToken", page.NextPageToken)
	}
	return nil, r.error(remote.Invalid, errors.New("there are too many versions"), "let the bucket's lifecycle remove old ones")
}

// newestFirst compares generations, which are numbers that rise.
func newestFirst(a, b remote.Version) int {
	return cmp.Or(cmp.Compare(len(b.ID), len(a.ID)), cmp.Compare(b.ID, a.ID))
}

// kept returns no version where the bucket keeps none, which a list with only
// the live one does not tell. Who may not ask the bucket gets that one.
func (b *blobs) kept(ctx context.Context, r request, versions []remote.Version) ([]remote.Version, error) {
	if len(versions) != 1 || !versions[0].Latest {
		return versions, nil
	}
	data, _, err := r.do(ctx, http.MethodGet, b.bucket(), url.Values{"fields": {"versioning"}}, "", nil)
	if refused, ok := errors.AsType[*remote.Error](err); ok && refused.Code == remote.Denied {
		return versions, nil
	}
	var bucket struct{ Versioning struct{ Enabled bool } }
	switch {
	case err != nil:
		return nil, err
	case json.Unmarshal(data, &bucket) != nil:
		return nil, r.error(remote.Unreachable, errors.New("the answer is no bucket"), hintStranger)
	case !bucket.Versioning.Enabled:
		return nil, nil
	}
	return versions, nil
}
