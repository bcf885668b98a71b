//go:build !unix

package lang

import "os"

const openFlags = os.O_RDONLY
