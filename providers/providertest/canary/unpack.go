package canary

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
)

const (
	maxDepth  = 4        // containers inside containers
	maxMember = 64 << 20 // a bomb is not followed further
)

// unpack calls use with every gzip or zlib stream and every zip member that
// starts anywhere in text, as far as it can be read: a cut or damaged stream
// leaks what comes before the damage.
func unpack(text []byte, use func(kind string, member []byte)) {
	for at := 0; at < len(text)-1; at++ {
		switch {
		case text[at] == 0x1f && text[at+1] == 0x8b: // RFC 1952, 2.3.1
			if r, err := gzip.NewReader(bytes.NewReader(text[at:])); err == nil {
				r.Multistream(false)
				use("gzip", readSome(r))
			}
		case text[at]&0x0f == 8 && text[at]>>4 <= 7 && (int(text[at])<<8|int(text[at+1]))%31 == 0: // RFC 1950, 2.2
			if r, err := zlib.NewReader(bytes.NewReader(text[at:])); err == nil {
				if member := readSome(r); len(member) > 0 {
					use("zlib", member)
				}
			}
		}
	}
	if start := bytes.Index(text, []byte("PK\x03\x04")); start >= 0 {
		unzip(text[start:], use)
	}
}

func unzip(text []byte, use func(kind string, member []byte)) {
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return
	}
	for _, f := range z.File {
		if r, err := f.Open(); err == nil {
			use("zip member", readSome(r))
			_ = r.Close()
		}
	}
}

func readSome(r io.Reader) []byte {
	b, _ := io.ReadAll(io.LimitReader(r, maxMember)) // what could be read counts
	return b
}
