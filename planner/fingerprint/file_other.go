//go:build !unix

package fingerprint

import (
	"io/fs"
	"os"
)

// Without owners, modes and links in the sense of Unix only the kind of file
// is checked; the access list of the folder has to protect the key.

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

func trustedOwner(fs.FileInfo) error { return nil }

func syncFolder(string) error { return nil }
