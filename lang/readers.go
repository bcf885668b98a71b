package lang

import (
	"errors"
	"reflect"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// readerCapsule is the one cty type of a reader. A capsule type is equal only
// to itself, so it is made once for each loader.
func readerCapsule() cty.Type { return cty.Capsule("reader", reflect.TypeFor[Reader]()) }

// readerFunction is age_recipient("age1…") and its like: a reader as a value,
// so that lists of readers can be made with for and concat.
func readerFunction(name, argument string, typ cty.Type) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: argument, Type: cty.String}},
		Type:   function.StaticReturnType(typ),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text := args[0].AsString()
			if text == "" {
				return cty.NilVal, errors.New("it is empty; name the recipient")
			}
			return cty.CapsuleVal(typ, &Reader{Func: name, Args: []string{text}}), nil
		},
	})
}
