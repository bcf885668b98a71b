package delivery

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"text/template"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/providers"
)

// render does what the operator does with a template.
func render(t *rapid.T, text string, data map[string]string) string {
	functions := template.FuncMap{ // of sprig
		"b64enc":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"trim":    strings.TrimSpace,
		"replace": func(from, to, in string) string { return strings.ReplaceAll(in, from, to) },
	}
	parsed, err := template.New("").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, data); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return out.String()
}

// model is what a part stands for.
func model(p providers.DeliveryPart, values map[providers.Remote]string) string {
	switch {
	case p.Remote != nil:
		return values[*p.Remote]
	case p.Func == "":
		return p.Text
	}
	all := ""
	for _, a := range p.Args {
		all += model(a, values)
	}
	switch p.Func {
	case "base64encode":
		return base64.StdEncoding.EncodeToString([]byte(all))
	case "trimspace":
		return strings.TrimSpace(all)
	}
	return strings.ReplaceAll(url.QueryEscape(all), "+", "%20")
}

// Whatever a block writes, the operator makes exactly that of it: braces, actions
// and quotes in plain text are text, and so are those in a value.
func TestTemplatesMeanWhatTheySay(t *testing.T) {
	text := rapid.OneOf(rapid.StringOf(rapid.SampledFrom([]rune("{}-. \n\"`\\$a|é"))), rapid.String())
	remote := rapid.Custom(func(t *rapid.T) providers.Remote {
		return providers.Remote{
			Key:      "shop/" + rapid.SampledFrom([]string{"db", "d-b", "9", "x.y"}).Draw(t, "key"),
			Property: rapid.SampledFrom([]string{"", "pass", "tls.crt", "_"}).Draw(t, "property"),
		}
	})
	var part func(depth int) *rapid.Generator[providers.DeliveryPart]
	part = func(depth int) *rapid.Generator[providers.DeliveryPart] {
		return rapid.Custom(func(t *rapid.T) providers.DeliveryPart {
			switch n := rapid.IntRange(0, 2).Draw(t, "kind"); {
			case n == 0:
				return providers.DeliveryPart{Text: text.Draw(t, "text")}
			case n == 1 || depth == 0:
				r := remote.Draw(t, "remote")
				return providers.DeliveryPart{Remote: &r}
			}
			return providers.DeliveryPart{
				Func: rapid.SampledFrom([]string{"base64encode", "trimspace", "urlencode"}).Draw(t, "function"),
				Args: rapid.SliceOfN(part(depth-1), 1, 3).Draw(t, "arguments"),
			}
		})
	}
	proptest.Check(t, func(t *rapid.T) {
		items := []providers.DeliveryItem{
			{Name: "A.b-c", Parts: rapid.SliceOfN(part(2), 1, 4).Draw(t, "a")},
			{Name: "B", Parts: rapid.SliceOfN(part(1), 1, 2).Draw(t, "b")},
		}
		f := gather(items)
		values, data := map[providers.Remote]string{}, map[string]string{}
		for _, r := range f.order {
			v := text.Draw(t, "value")
			if _, twice := data[f.names[r]]; twice {
				t.Fatalf("two values are called %q", f.names[r])
			}
			values[r], data[f.names[r]] = v, v
		}
		for _, item := range items {
			written, err := f.template(item.Parts)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			for _, p := range item.Parts {
				want += model(p, values)
			}
			if got := render(t, written, data); got != want {
				t.Fatalf("%q gives %q, want %q", written, got, want)
			}
		}
	})
}
