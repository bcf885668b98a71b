package memory

import (
	"strings"
	"time"
)

// Full is a platform that can do everything.
func Full() Options {
	return Options{
		Versions: true, Conditional: true, SoftDelete: 7 * 24 * time.Hour, Restore: true, Attributes: true,
		Tokens: true, OpID: true, Patch: true, List: true, Objects: true,
	}
}

// Versioned is like a versioned store with preconditions and without a
// recovery window.
func Versioned() Options {
	return Options{
		Versions: true, Conditional: true, Attributes: true, OpID: true, Patch: true, List: true,
		ReuseVersions: true, Objects: true, HideFields: true,
	}
}

// Eventual is like a cloud store whose writes take neither token nor
// precondition and whose lists lag.
func Eventual() Options {
	return Options{
		Versions: true, SoftDelete: 90 * 24 * time.Hour, Restore: true, Attributes: true, OpID: true, List: true,
		HideFields: true, Lag: 2, Settle: 2 * time.Minute, MaxBytes: 25 << 10, ForbidEmpty: true,
	}
}

// Counting is like a store that counts its versions under a precondition and
// keeps attributes beside them, written by a second call: nothing in a version
// tells whose it is.
func Counting() Options {
	return Options{
		Versions: true, Conditional: true, SoftDelete: 30 * 24 * time.Hour, Restore: true, Attributes: true, Patch: true, List: true,
		Objects: true, HideFields: true, ReuseVersions: true, Counts: true, Apart: true, Purge: true, Bindings: true,
	}
}

// Files is like a folder of encrypted files: a container is everything up to
// the last slash of a path.
func Files() Options {
	return Options{
		Conditional: true, Patch: true, List: true, Objects: true, Promises: true, Envelopes: true,
		Container: func(kind, path string) string {
			if kind == ObjectKind { // an object's path is the container it is about
				return path
			}
			return container(path)
		},
	}
}

func container(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return path
}

// Cluster is like Kubernetes: Secrets without older versions beside objects,
// controllers and workloads.
func Cluster() Options {
	return Options{Conditional: true, Attributes: true, OpID: true, Patch: true, List: true, Objects: true, Cluster: true}
}
