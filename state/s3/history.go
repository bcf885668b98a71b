package s3

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cofferhq/coffer/state/remote"
)

// mostPages is where a list of versions ends, 1000 each.
const mostPages = 100

// unversioned is the id of what was written while versioning was off.
const unversioned = "null"

// History implements [remote.Historian]. A list takes one request for each
// thousand versions.
func (b *blobs) History(ctx context.Context, name string) ([]remote.Version, error) {
	r := b.request("list the versions", name)
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	in := &s3.ListObjectVersionsInput{Bucket: &b.config.Bucket, Prefix: &r.key, ExpectedBucketOwner: b.owner()}
	var versions []remote.Version
	kept := false
	for range mostPages {
		out, err := b.client.ListObjectVersions(ctx, in)
		if err != nil {
			return nil, r.failed(ctx, err)
		}
		if aws.ToString(out.Name) == "" {
			return nil, r.error(remote.Unreachable, errors.New("the answer is no list of versions"), hintStranger)
		}
		past := false // at an object whose name goes on behind ours
		for _, v := range out.Versions {
			if aws.ToString(v.Key) != r.key {
				past = true
				continue
			}
			id := aws.ToString(v.VersionId)
			kept = kept || id != unversioned
			versions = append(versions, remote.Version{
				ID: id, Written: aws.ToTime(v.LastModified), Bytes: aws.ToInt64(v.Size), Latest: aws.ToBool(v.IsLatest),
			})
		}
		if past || !aws.ToBool(out.IsTruncated) {
			if !kept {
				return nil, nil
			}
			slices.SortStableFunc(versions, newestFirst)
			return versions, nil
		}
		in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
	}
	return nil, r.error(remote.Invalid, errors.New("there are too many versions"), "let the bucket's lifecycle remove old ones")
}

// newestFirst is AWS's own order, which tells apart what was written in one
// second, so the sort must be stable; other stores have another.
func newestFirst(a, b remote.Version) int {
	if a.Latest != b.Latest {
		if a.Latest {
			return -1
		}
		return 1
	}
	return b.Written.Compare(a.Written)
}
