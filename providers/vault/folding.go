package vault

import (
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// folding makes one rule of the rules of secrets that share a folder, so that a
// policy for very many stays small enough for a server. The zero folding leaves
// each secret its own.
type folding struct {
	depth   int            // how many of the last parts of a path are left out
	all     bool           // one rule for all below the prefix
	secrets map[string]int // how many a folder has
}

// foldings returns the least folding with which the policy of an apply is not
// too long.
func (d *Driver) foldings(req providers.PermissionRequest) folding {
	var f folding
	if req.Phase != providers.PhaseApply {
		return f
	}
	deepest := 1
	for _, path := range secretPaths(req) {
		deepest = max(deepest, 1+strings.Count(d.Written(path), "/"))
	}
	for f.depth < deepest && len(d.document(req, d.gather(req, f).list(), f)) > longestDocument {
		f = d.fold(req, f.depth+1, f.depth+1 == deepest)
	}
	return f
}

func (d *Driver) fold(req providers.PermissionRequest, depth int, all bool) folding {
	f := folding{depth: depth, all: all, secrets: map[string]int{}}
	for _, path := range secretPaths(req) {
		if folder, ok := f.folder(d, path); ok {
			f.secrets[folder]++
		}
	}
	return f
}

// secretPaths are the paths of all secrets that a request names, in order.
func secretPaths(req providers.PermissionRequest) []string {
	var paths []string
	for _, use := range req.Secrets {
		paths = append(paths, use.Path)
	}
	for _, l := range req.Leaving {
		if l.Kind == kindSecret {
			paths = append(paths, l.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// folder is where the rule of a path lies. Short of the last resort that is
// never all that is below the prefix, so a secret directly there keeps its own.
func (f folding) folder(d *Driver, path string) (string, bool) {
	if f.all {
		return d.config.Prefix, true
	}
	parts := strings.Split(d.Written(path), "/")
	if f.depth == 0 || len(parts) == 1 {
		return "", false
	}
	cut := strings.Join(parts[max(1, len(parts)-f.depth):], "/")
	return strings.TrimSuffix(path, "/"+cut), true
}

// rule is the path of the rule for a secret in the part of the API that api
// names.
func (f folding) rule(d *Driver, api func(path string) string, path string) string {
	if folder, ok := f.folder(d, path); ok && f.secrets[folder] > 1 {
		return strings.TrimSuffix(rulePath(api(folder)), "/*") + "/*"
	}
	return rulePath(api(path))
}
