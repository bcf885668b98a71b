package forge

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestEachIsBounded(t *testing.T) {
	const item, page = 4 << 10, 64 << 10
	entry := func(n int) string { return `{"body":"` + strings.Repeat("x", n) + `"}` }
	for name, c := range map[string]struct {
		text string
		want int // entries; -1 is too large
	}{
		"empty":                 {"[]", 0},
		"some":                  {"[" + entry(10) + "," + entry(20) + "]", 2},
		"more than an entry":    {"[" + strings.TrimSuffix(strings.Repeat(entry(1000)+",", 40), ",") + "]", 40},
		"one entry too large":   {"[" + entry(2*item) + "]", -1},
		"the page is too large": {"[" + strings.Repeat(entry(1000)+",", 100), -1},
		"blanks without end":    {"[" + strings.Repeat(" ", page), -1},
		"blanks at the start":   {strings.Repeat(" ", page), -1},
		"an unknown field":      {`[{"other":[` + strings.Repeat("{},", page), -1},
	} {
		got := 0
		err := each(strings.NewReader(c.text), item, page, func(struct{ Body string }) { got++ })
		if c.want < 0 && !errors.Is(err, errTooLarge) || c.want >= 0 && (err != nil || got != c.want) {
			t.Errorf("%s: %d entries, %v", name, got, err)
		}
	}
}

func TestHasNext(t *testing.T) {
	for link, want := range map[string]bool{
		"":                                 false,
		`<https://h/x?page=2>; rel="next"`: true,
		`<https://h/x?page=1>; rel="prev", <https://h/x?page=3>; rel="next"`: true,
		`<https://h/x?page=2>;rel=next`:                                      true,
		`<https://h/x?page=9>; rel="last"`:                                   false,
		`<https://h/x?rel=next>; rel="first"`:                                false,
	} {
		if got := hasNext(http.Header{"Link": {link}}); got != want {
			t.Errorf("%q: %v", link, got)
		}
	}
	if !hasNext(http.Header{"X-Next-Page": {"2"}}) || hasNext(http.Header{"X-Next-Page": {""}}) {
		t.Error("the header of GitLab is not read")
	}
}
