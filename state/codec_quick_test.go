package state

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// entryText is an entry as encodeV1 writes it.
const entryText = `{"address":"app.a.secret.b[\"dev\"]",` + "\n" + `"location":{"provider":"p","kind":"secret","path":"a/b"},"store":"sops","role":"primary",` +
	`"version":"1","created":"2026-11-24T08:30:00.5Z","envelope":"e","generation":12,"class":"generated","op":"o","rotated_at":"2026-11-24T08:30:00Z",` +
	`"fields":{"":{"source":"public(\"a\\b\")","class":"generated","fingerprint":"k:QQ=="},"n":{"source":"x"}},"labels":{"a":"käse"},"description":"two\nlines\t","protect":true,"accepts_outside":true}`

func fileOf(entries ...string) string {
	text := "{\n\"version\": 1,\n\"project\": \"p\",\n\"lineage\": \"l\",\n\"serial\": 1,\n\n\"providers\": {\n\"sops\": \"p\"\n},\n\n\"entries\": [\n\n"
	for _, e := range entries {
		text += e + ",\n\n"
	}
	return text + "null\n]\n}\n"
}

// inEntry is a file whose only entry has another text in it.
func inEntry(old, replacement string) string {
	if !strings.Contains(entryText, old) {
		panic("no " + old)
	}
	return fileOf(strings.Replace(entryText, old, replacement, 1))
}

// FuzzQuick: what is read the quick way is what the exact way reads.
func FuzzQuick(f *testing.F) {
	golden, err := os.ReadFile("testdata/v1.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(golden), fileOf(), fileOf(entryText), fileOf(entryText, entryText), fileOf(entryText + " "), fileOf(entryText + "," + entryText), fileOf("null"), fileOf("[]"),
		inEntry(`"generation":12`, `"generation":012`), inEntry(`"generation":12`, `"generation":-1`), inEntry(`"generation":12`, `"generation":1.0`), inEntry(`"generation":12`, `"generation":null`),
		inEntry(`"generation":12`, `"generation":1,"generation":2`), inEntry(`"generation":12`, `"Generation":12`), inEntry(`"generation":12`, `"other":12`), inEntry(`"class":"generated","op"`, `"class":"x","op"`),
		inEntry(`"n":{"source":"x"}`, `"":{"source":"x"}`), inEntry(`{"a":"käse"}`, `{"a":"b","a":"c"}`), inEntry(`{"a":"käse"}`, `{}`), inEntry(`"käse"`, `"\u00e4\b\/"`), inEntry(`"käse"`, "\"\xff\""), inEntry(`"käse"`, "\"a\tb\""),
		inEntry(`"2026-11-24T08:30:00Z"`, `"2026-11-24T08:30:00+01:00"`), inEntry(`"2026-11-24T08:30:00Z"`, `"2026-11-24"`), inEntry(`"path":"a/b"`, `"path":"../b"`), inEntry(`"path":"a/b"`, `"path":"a/b","path":"a/c"`),
		inEntry(`"protect":true`, `"protect":false`), inEntry(",\n\"location\"", ",\n\n\"location\""), inEntry(`"accepts_outside":true}`, `"accepts_outside":true,"requested":1,"needs":["a"],"inputs":{"x":1},"holds":true}`),
		strings.ReplaceAll(fileOf(entryText), "\n", "\r\n"), strings.Replace(fileOf(entryText), "\"entries\"", "\"entries\": [\n\nnull\n],\n\"entries\"", 1), fileOf(entryText) + "{}", fileOf(entryText, "null\n]\n}\n"+entryText),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		quick := quickV1(data)
		if quick == nil {
			return
		}
		exact := newDecoderV1(data)
		if err := exact.file(); err != nil {
			t.Fatalf("read quickly, and is wrong: %v", err)
		}
		if !reflect.DeepEqual(quick, exact.s) {
			t.Fatalf("read quickly as\n%+v\nwant\n%+v", quick, exact.s)
		}
	})
}

// What this program writes is read the quick way, and an ordinary entry without
// encoding/json.
func TestWhatIsWrittenIsReadQuickly(t *testing.T) {
	golden, err := os.ReadFile("testdata/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(golden), fileOf(), fileOf(entryText)} {
		if quickV1([]byte(text)) == nil {
			t.Errorf("read the slow way:\n%s", text)
		}
	}
	r := quickReader{rest: entryText, ok: true}
	if r.entry(); !r.ok || r.rest != "" {
		t.Errorf("read up to %q", r.rest)
	}
	for _, text := range []string{fileOf(entryText, entryText), fileOf(entryText) + "{}", inEntry(`"protect"`, `"protected"`), inEntry(`"primary"`, `"boss"`), strings.TrimSuffix(fileOf(entryText), "\n")} {
		if quickV1([]byte(text)) != nil {
			t.Errorf("nothing is wrong with\n%s", text)
		}
	}
}
