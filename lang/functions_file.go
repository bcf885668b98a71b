package lang

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// fileFunctions are the only ones with I/O. They read below root, never behind
// a link that leaves it, and only regular files of at most 1 MiB.
func fileFunctions(root *os.Root) map[string]function.Function {
	return map[string]function.Function{
		"file": ofText("path", func(path string) (string, error) {
			content, err := readBelow(root, path)
			if err != nil {
				return "", err
			}
			if !utf8.Valid(content) {
				return "", fmt.Errorf("%s is not UTF-8 text; use filebase64 for other bytes", quoteShort(path))
			}
			return string(content), nil
		}),
		"filebase64": ofText("path", func(path string) (string, error) {
			content, err := readBelow(root, path)
			if err != nil {
				return "", err
			}
			return base64.StdEncoding.EncodeToString(content), nil
		}),
		"fileexists": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}},
			Type:   function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				_, err := statBelow(root, args[0].AsString())
				if errors.Is(err, fs.ErrNotExist) {
					return cty.False, nil
				}
				if err != nil {
					return cty.NilVal, function.NewArgError(0, err)
				}
				return cty.True, nil
			},
		}),
	}
}

func statBelow(root *os.Root, path string) (string, error) {
	if root == nil {
		return "", errors.New("files cannot be read here")
	}
	name := filepath.FromSlash(path)
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s is not below the configuration directory; write a path relative to it that does not leave it", quoteShort(path))
	}
	if err := MayRead(root.Name(), path); err != nil {
		return "", fmt.Errorf("%s: %w", quoteShort(path), err)
	}
	info, err := root.Stat(name)
	if err != nil {
		return "", fileError(path, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", quoteShort(path))
	}
	return name, nil
}

func readBelow(root *os.Root, path string) ([]byte, error) {
	name, err := statBelow(root, path)
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, openFlags, 0)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	// The name may have changed since the first look.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", quoteShort(path))
	}
	content, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return nil, fileError(path, err)
	}
	if len(content) > maxText {
		return nil, fmt.Errorf("%s has more than 1 MiB; a configuration reads smaller files", quoteShort(path))
	}
	return content, nil
}

// fileError names the file as the configuration does and not where the
// directory is on this machine, so that messages are the same everywhere.
func fileError(path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("%s: %w; paths are relative to the configuration directory and do not leave it", quoteShort(path), err)
}
