package lang

import (
	"fmt"
	"math"
	"reflect"
)

// decodeInto sets a field of a driver's configuration to plain data.
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
