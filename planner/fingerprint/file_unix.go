//go:build unix

package fingerprint

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openNoFollow neither follows a link nor waits for the writer of a pipe.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

func trustedOwner(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return errors.New("its owner cannot be told on this system")
	case stat.Nlink != 1:
		return errors.New("it has a second name (a hard link): copy it to a new file and remove the others")
	case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fix{problem: "it belongs to another user", command: "chown \"$(id -u)\""}
	case info.Mode().Perm()&0o077 != 0:
		return fix{problem: "others may read or change it", command: "chmod 600"}
	}
	return nil
}

// syncFolder makes a new name in the folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
