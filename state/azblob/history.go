package azblob

import (
	"context"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/cofferhq/coffer/state/remote"
)

// History implements [remote.Historian]. An account without blob versioning has
// none.
func (s *store) History(ctx context.Context, name string) ([]remote.Version, error) {
	r := request{s, "list the versions of", s.keyOf(name)}
	client, err := s.list()
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	pages := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{Versions: true}, Prefix: &r.key})
	var out []remote.Version
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, r.failed(ctx, err)
		}
		if page.RequestID == nil || page.Segment == nil {
			return nil, r.failed(ctx, errStranger)
		}
		for _, item := range page.Segment.BlobItems {
			if item.Name == nil || *item.Name < r.key {
				continue
			}
			if *item.Name > r.key { // the journal and lock, with versions of their own
				return newestFirst(out), nil
			}
			if v, ok := version(item); ok {
				out = append(out, v)
			}
		}
	}
	return newestFirst(out), nil
}

// version reads an item of a list. It has no id where versions are not kept.
func version(item *container.BlobItem) (remote.Version, bool) {
	p := item.Properties
	if item.VersionID == nil || *item.VersionID == "" || p == nil || p.LastModified == nil || p.ContentLength == nil {
		return remote.Version{}, false
	}
	latest := item.IsCurrentVersion != nil && *item.IsCurrentVersion
	return remote.Version{ID: *item.VersionID, Written: p.LastModified.UTC(), Bytes: *p.ContentLength, Latest: latest}, true
}

// newestFirst sorts by the ids, which are times.
func newestFirst(of []remote.Version) []remote.Version {
	slices.SortFunc(of, func(a, b remote.Version) int {
		switch {
		case a.ID > b.ID:
			return -1
		case a.ID < b.ID:
			return 1
		}
		return 0
	})
	return of
}

// GetVersion implements [remote.Historian].
func (s *store) GetVersion(ctx context.Context, name, id string) ([]byte, error) {
	r := request{s, "read", s.keyOf(name)}
	if id == "" {
		return nil, remote.ErrNotFound
	}
	client, err := s.client(r.key)
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	of, err := client.WithVersionID(id)
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	answer, err := of.DownloadStream(ctx, nil)
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	data, err := readAll(answer.Body)
	if err == nil && answer.RequestID == nil {
		err = errStranger
	}
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	return data, nil
}
