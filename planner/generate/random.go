package generate

import (
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strings"
)

// read returns n bytes of r.
func read(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return b, nil
}

// below returns a number drawn evenly from 0 to n-1. Numbers out of range are
// drawn again, never reduced, so that none is more likely than another.
func below(r io.Reader, n int) (int, error) {
	drawn, err := rand.Int(r, big.NewInt(int64(n)))
	if err != nil {
		return 0, fmt.Errorf("reading randomness: %w", err)
	}
	return int(drawn.Int64()), nil
}

func randomBytes(p resolved, env Env) ([]byte, error) {
	return read(env.Rand, p.int("bytes"))
}

func randomHex(p resolved, env Env) ([]byte, error) {
	b, err := read(env.Rand, p.int("bytes"))
	return hex.AppendEncode(nil, b), err
}

func randomBase64(p resolved, env Env) ([]byte, error) {
	b, err := read(env.Rand, p.int("bytes"))
	return alphabet(p).AppendEncode(nil, b), err
}

func alphabet(p resolved) *base64.Encoding {
	encoding := base64.StdEncoding
	if p.bool("url") {
		encoding = base64.URLEncoding
	}
	if !p.bool("padding") {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	return encoding
}

// uuid follows RFC 9562 sections 5.4 and 5.7.
func uuid(p resolved, env Env) ([]byte, error) {
	b, err := read(env.Rand, 16)
	if err != nil {
		return nil, err
	}
	version := p.int("version")
	if version == 7 {
		ms := env.Now.UnixMilli()
		for i := range 6 {
			b[i] = byte(ms >> (40 - 8*i))
		}
	}
	b[6] = b[6]&0x0f | byte(version)<<4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Appendf(nil, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

//go:embed wordlist/english.txt
var englishWords string

func passphrase(p resolved, env Env) ([]byte, error) {
	list := strings.Fields(englishWords)
	words := make([]string, p.int("words"))
	for i := range words {
		n, err := below(env.Rand, len(list))
		if err != nil {
			return nil, err
		}
		words[i] = list[n]
		if p.bool("capitalize") {
			words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
		}
	}
	if p.bool("number") {
		place, err := below(env.Rand, 10*len(words))
		if err != nil {
			return nil, err
		}
		words[place/10] += string(rune('0' + place%10))
	}
	return []byte(strings.Join(words, p.string("separator"))), nil
}
