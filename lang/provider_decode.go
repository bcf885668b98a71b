package lang

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// configDecoder is how a field of a driver's configuration takes several
// shapes; see providers.ConfigDecoder, which has the same method.
type configDecoder interface {
	DecodeConfig(v any) error
}

// Decode fills into, a pointer to a struct whose fields carry `hcl:"name"` or
// `hcl:"name,optional"` tags. Fields are string, bool, int, []string,
// map[string]string, or a type whose pointer has DecodeConfig(any) error, which
// is given string, bool, float64, []any or map[string]any. An argument that is
// null counts as not written.
//
// Unknown, missing and ill-typed arguments are diagnostics at their place. The
// alias is no argument of a driver's. Decode panics if into is not such a
// pointer, which is a mistake in the driver.
func (p *Provider) Decode(into any) hcl.Diagnostics {
	target := reflect.ValueOf(into).Elem()
	fields := map[string]reflect.Value{}
	required := map[string]bool{}
	for i := range target.NumField() {
		name, option, _ := strings.Cut(target.Type().Field(i).Tag.Get("hcl"), ",")
		if name == "" {
			continue
		}
		fields[name] = target.Field(i)
		required[name] = option != "optional"
	}
	var diags hcl.Diagnostics
	for _, arg := range p.arguments {
		field, known := fields[arg.name]
		switch {
		case !known && reservedArgument(arg.name) != "":
			diags = append(diags, errorAt(arg.nameRange, "Not in this language", "%s does not exist here: %s.", arg.name, reservedArgument(arg.name)))
		case !known:
			diags = append(diags, errorAt(arg.nameRange, "Unknown argument", "The provider %s has no argument %q.%s",
				p.Type, arg.name, didYouMean(arg.name, append(sortedKeys(fields), "alias"))))
		case arg.value != nil:
			delete(required, arg.name)
			if err := decodeInto(field, arg.value); err != nil {
				diags = append(diags, errorAt(arg.exprRange, "Invalid argument", "%s: %s.", arg.name, strings.TrimSuffix(err.Error(), ".")))
			}
		}
	}
	for _, name := range sortedKeys(required) {
		if required[name] {
			diags = append(diags, errorAt(p.Range, "Missing argument", "The provider %s needs the argument %q.", p.Type, name))
		}
	}
	return diags
}

func decodeInto(field reflect.Value, v any) error {
	if decoder, ok := field.Addr().Interface().(configDecoder); ok {
		return decoder.DecodeConfig(v)
	}
	switch field.Interface().(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("it must be text")
		}
		field.SetString(s)
	case bool:
		b, ok := v.(bool)
		if !ok {
			return fmt.Errorf("it must be true or false")
		}
		field.SetBool(b)
	case int:
		f, ok := v.(float64)
		if !ok || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
			return fmt.Errorf("it must be a whole number")
		}
		field.SetInt(int64(f))
	case []string:
		list, ok := textList(v)
		if !ok {
			return fmt.Errorf(`it must be a list of texts: ["a", "b"]`)
		}
		field.Set(reflect.ValueOf(list))
	case map[string]string:
		m, ok := textMap(v)
		if !ok {
			return fmt.Errorf(`it must be an object of texts: { name = "text" }`)
		}
		field.Set(reflect.ValueOf(m))
	default:
		panic(fmt.Sprintf("lang: a provider's configuration cannot have a field of type %s", field.Type()))
	}
	return nil
}

func textList(v any) ([]string, bool) {
	list, ok := v.([]any)
	out := make([]string, 0, len(list))
	for _, element := range list {
		s, isText := element.(string)
		if !isText {
			return nil, false
		}
		out = append(out, s)
	}
	return out, ok
}

func textMap(v any) (map[string]string, bool) {
	m, ok := v.(map[string]any)
	out := make(map[string]string, len(m))
	for key, element := range m {
		s, isText := element.(string)
		if !isText {
			return nil, false
		}
		out[key] = s
	}
	return out, ok
}
