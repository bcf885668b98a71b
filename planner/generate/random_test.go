package generate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

// unevenness is how far counts are from what even draws give: chi-square, in
// standard deviations.
func unevenness(counts []int) float64 {
	total := 0
	for _, n := range counts {
		total += n
	}
	want := float64(total) / float64(len(counts))
	chi := 0.0
	for _, n := range counts {
		chi += (float64(n) - want) * (float64(n) - want) / want
	}
	df := float64(len(counts) - 1)
	return math.Abs(chi-df) / math.Sqrt(2*df)
}

// uniform fails if counts are uneven. The seeds are fixed, so it never fails
// by luck.
func uniform(t *testing.T, what string, counts []int) {
	t.Helper()
	if off := unevenness(counts); off > 6 {
		t.Errorf("%s is not even: chi-square is %.1f standard deviations off", what, off)
	}
}

func TestBelowIsUniform(t *testing.T) {
	env := seeded(3)
	for _, n := range []int{2, 3, 7, 10, 26, 71, 100, 129, 200, 255} {
		counts := make([]int, n)
		for range 400 * n {
			drawn, err := below(env.Rand, n)
			if err != nil {
				t.Fatal(err)
			}
			counts[drawn]++
		}
		uniform(t, "below "+strconv.Itoa(n), counts)
	}
}

// The test itself must see the bias of a remainder: 256 over 71.
func TestUniformSeesModuloBias(t *testing.T) {
	env := seeded(3)
	counts := make([]int, 71)
	for range 400 * 71 {
		b, err := read(env.Rand, 1)
		if err != nil {
			t.Fatal(err)
		}
		counts[int(b[0])%71]++
	}
	if off := unevenness(counts); off < 12 {
		t.Errorf("the bias was not seen: %.1f standard deviations", off)
	}
}

func TestRandomBytes(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(4, 2000).Draw(t, "bytes")
		seed := rapid.Uint64().Draw(t, "seed")
		url, padding := rapid.Bool().Draw(t, "url"), rapid.Bool().Draw(t, "padding")
		want := make([]byte, n)
		if _, err := seeded(seed).Rand.Read(want); err != nil {
			t.Fatal(err)
		}
		if got := mustNew(t, seeded(seed), "random_bytes", params{"bytes": n}); got != string(want) {
			t.Fatal("random_bytes is not what the source gave")
		}
		text := mustNew(t, seeded(seed), "random_hex", params{"bytes": n})
		if got, err := hex.DecodeString(text); err != nil || !bytes.Equal(got, want) || strings.ToLower(text) != text {
			t.Fatalf("random_hex: %v", err)
		}
		text = mustNew(t, seeded(seed), "random_base64", params{"bytes": n, "url": url, "padding": padding})
		if padded := strings.HasSuffix(text, "="); padded && (!padding || n%3 == 0) || padding && len(text)%4 != 0 {
			t.Fatalf("padding %v of %d bytes ends in %q", padding, n, text[len(text)-2:])
		}
		if url && strings.ContainsAny(text, "+/") || !url && strings.ContainsAny(text, "-_") || strings.ContainsAny(text, "\r\n") {
			t.Fatal("random_base64 is in the other alphabet")
		}
		text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		if got, err := base64.RawStdEncoding.Strict().DecodeString(text); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("random_base64: %v", err)
		}
	})
}

func TestUUID(t *testing.T) {
	v4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	v7 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	env := seeded(4)
	const draws = 4000
	bits4, bits7 := make([]int, 128), make([]int, 128)
	for range draws {
		a, b := mustNew(t, env, "random_uuid", nil), mustNew(t, env, "random_uuid", params{"version": 7})
		if !v4.MatchString(a) || !v7.MatchString(b) {
			t.Fatalf("%s is no UUID of version 4, or %s none of version 7", a, b)
		}
		countBits(t, bits4, a)
		countBits(t, bits7, b)
		ms, err := strconv.ParseInt(strings.ReplaceAll(b, "-", "")[:12], 16, 64)
		if err != nil || !time.UnixMilli(ms).Equal(testTime.Truncate(time.Millisecond)) {
			t.Fatalf("%s tells the time %v, %v", b, time.UnixMilli(ms), err)
		}
	}
	// The figures of the signature: how many bits are drawn.
	if free := freeBits(bits4, draws); free != 122 {
		t.Errorf("version 4 has %d random bits", free)
	}
	if free := freeBits(bits7, draws); free != 74 {
		t.Errorf("version 7 has %d random bits", free)
	}
}

func countBits(t *testing.T, counts []int, uuid string) {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	for i := range counts {
		counts[i] += int(b[i/8] >> (7 - i%8) & 1)
	}
}

// freeBits counts the bits that are set in about half of all draws.
func freeBits(counts []int, draws int) int {
	free := 0
	for _, n := range counts {
		if math.Abs(float64(n)-float64(draws)/2) < 6*math.Sqrt(float64(draws)/4) {
			free++
		}
	}
	return free
}

func TestWordList(t *testing.T) {
	// The digest is that of english.txt in bitcoin/bips.
	if sum := sha256.Sum256([]byte(englishWords)); hex.EncodeToString(sum[:]) != "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda" {
		t.Errorf("the word list was changed: SHA-256 %x", sum)
	}
	words := strings.Fields(englishWords)
	if len(words) != 2048 || !slices.IsSorted(words) {
		t.Errorf("%d words, sorted %v", len(words), slices.IsSorted(words))
	}
	begins := map[string]bool{}
	for _, w := range words {
		if len(w) < 3 || len(w) > 8 {
			t.Errorf("%q has not 3 to 8 letters", w)
		}
		begins[w[:min(4, len(w))]] = true
	}
	if len(begins) != 2048 {
		t.Error("two words have the same first four letters")
	}
}

func TestPassphrase(t *testing.T) {
	list := strings.Fields(englishWords)
	proptest.Check(t, func(t *rapid.T) {
		words := rapid.IntRange(4, 64).Draw(t, "words")
		separator := rapid.SampledFrom([]string{"-", " ", ".", "_", "::", "!?#"}).Draw(t, "separator")
		capitalize, number := rapid.Bool().Draw(t, "capitalize"), rapid.Bool().Draw(t, "number")
		got := mustNew(t, seeded(rapid.Uint64().Draw(t, "seed")), "random_passphrase",
			params{"words": words, "separator": separator, "capitalize": capitalize, "number": number})
		parts := strings.Split(got, separator)
		if len(parts) != words {
			t.Fatalf("%d words, want %d", len(parts), words)
		}
		digits := 0
		for _, part := range parts {
			word := strings.TrimRight(part, "0123456789")
			digits += len(part) - len(word)
			if capitalize != (word[0] >= 'A' && word[0] <= 'Z') {
				t.Fatalf("capitalize = %v gave %q", capitalize, part)
			}
			if _, known := slices.BinarySearch(list, strings.ToLower(word[:1])+word[1:]); !known {
				t.Fatalf("%q is not in the list", part)
			}
		}
		if number && digits != 1 || !number && digits != 0 {
			t.Fatalf("number = %v gave %d digits", number, digits)
		}
	})
}

// The figure of the signature: every word is one of 2048, each as likely, and
// so are place and value of the digit.
func TestPassphraseIsUniform(t *testing.T) {
	env := seeded(5)
	index := map[string]int{}
	for i, w := range strings.Fields(englishWords) {
		index[w] = i
	}
	words, places := make([]int, 2048), make([]int, 80)
	for range 4000 {
		parts := strings.Split(mustNew(t, env, "random_passphrase", params{"number": true}), "-")
		for i, part := range parts {
			word := strings.TrimRight(part, "0123456789")
			words[index[word]]++
			if word != part {
				places[10*i+int(part[len(part)-1]-'0')]++
			}
		}
		if len(parts)*11 != 88 {
			t.Fatalf("%d words", len(parts))
		}
	}
	uniform(t, "the choice of words", words)
	uniform(t, "the digit", places)
}

func TestPassphraseWithoutSeparator(t *testing.T) {
	got := mustNew(t, seeded(6), "random_passphrase", params{"separator": "", "capitalize": true})
	if !regexp.MustCompile(`^([A-Z][a-z]{2,7}){8}$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
	if _, err := New("random_passphrase", params{"separator": ""}, seeded(6)); err == nil {
		t.Error("small words without anything between them were made")
	}
}
