package canary

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Every form of every canary is seeded into other text and found: the positive
// control of every suite that reports "0 found".
func TestEverySeededLeakIsFound(t *testing.T) {
	finder := NewFinder(Values()...)
	seeded := 0
	for _, c := range Values() {
		for form, sample := range Encodings(c.Value) {
			if form == "8-byte piece" && !c.Dense {
				continue
			}
			text := append([]byte("level=info msg=\"done\" body="), sample...)
			if form != "zip" { // the end of a zip archive is the end of the file
				text = append(text, "\" took 3 ms"...)
			}
			if !found(finder.Find(text), c.Name) {
				t.Errorf("%s as %s was not found in %q", c.Name, form, text)
			}
			seeded++
		}
	}
	t.Logf("%d seeded leaks, all to be found", seeded)
}

func TestForms(t *testing.T) {
	if n := len(Encodings([]byte("a value of some length"))); n < 36 {
		t.Errorf("%d encodings, want 36", n)
	}
}

func TestNothingIsFoundInInnocentText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/\n"[rng.IntN(65)]
	}
	text := "Plan: 3 to create, 1 to rotate, 0 to delete. production database-url 17391 73912\n"
	noise = append(noise, strings.Repeat(text, 100)...)
	if hits := NewFinder(Values()...).Find(noise); len(hits) > 0 {
		t.Errorf("found %v", hits)
	}
}

func TestNested(t *testing.T) {
	c := Values()[0]
	text := c.Value
	for range 3 {
		text = Encodings(text)["gzip"]
	}
	text = Encodings(append(text, "rest"...))["zip"]
	hits := NewFinder(c).Find(text)
	in := map[string]bool{}
	for _, h := range hits {
		in[h.In] = true
	}
	if !in["zip member gzip gzip gzip"] {
		t.Errorf("found %v", hits)
	}
}

func TestShortValuesAreWords(t *testing.T) {
	f := NewFinder(Of("pin", []byte("7391"), false))
	for text, want := range map[string]bool{
		"code 7391.": true, "pin=7391": true, "173910": false, "id a7391": false, "NzM5MQ==": true, "1937": true, "": false,
	} {
		if got := found(f.Find([]byte(text)), "pin"); got != want {
			t.Errorf("in %q: found %v, want %v", text, got, want)
		}
	}
}

func TestAnyPieceOfADenseValue(t *testing.T) {
	c := Values()[0]
	f := NewFinder(c)
	for i := 0; i+piece <= len(c.Value); i++ {
		if len(f.Find(c.Value[i:i+piece])) == 0 {
			t.Errorf("piece at %d not found", i)
		}
	}
	if hits := f.Find(c.Value[:piece-1]); len(hits) > 0 {
		t.Errorf("seven bytes are found: %v", hits)
	}
}

func TestFindIsFastEnoughForMegabytes(t *testing.T) {
	f := NewFinder(Values()...)
	text := bytes.Repeat([]byte("app.checkout.secret.db[\"production\"] update changed_outside 7 -> 8\n"), 1<<17)
	start := time.Now()
	if hits := f.Find(text); len(hits) > 0 {
		t.Errorf("found %v", hits)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("%d bytes took %v", len(text), took)
	} else {
		t.Logf("%d bytes in %v", len(text), took)
	}
}

func found(hits []Hit, name string) bool {
	for _, h := range hits {
		if h.Canary == name {
			return true
		}
	}
	return false
}

// Eight digits inside a digest are chance, by themselves or in a longer text they
// are a leak.
func TestDigitsOfADigest(t *testing.T) {
	const pin = "37333931" // 7391
	finder := NewFinder(Of("pin", []byte("7391"), false))
	digest := strings.Repeat("ab", 20) + pin + strings.Repeat("cd", 8)
	if hits := finder.Find([]byte("version " + digest + ".")); len(hits) > 0 {
		t.Errorf("found in a digest: %v", hits)
	}
	for _, leak := range []string{"the value is " + pin, "body " + strings.Repeat("7b", 9) + pin + "7d"} {
		if hits := finder.Find([]byte(leak)); len(hits) == 0 {
			t.Errorf("not found in %q", leak)
		}
	}
}
