package lang

import (
	"errors"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

func convertTo(v cty.Value, ty cty.Type) (cty.Value, error) { return convert.Convert(v, ty) }

// distinctFunc drops repeated elements and keeps the first of each. cty's own
// compares every element with every other.
func distinctFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.DynamicPseudoType)}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(retType), nil
			}
			seen := map[int][]cty.Value{}
			var kept []cty.Value
			for it := args[0].ElementIterator(); it.Next(); {
				_, element := it.Element()
				hash := element.Hash()
				if holds(seen[hash], element) {
					continue
				}
				seen[hash] = append(seen[hash], element)
				kept = append(kept, element)
			}
			if len(kept) == 0 {
				return cty.ListValEmpty(retType.ElementType()), nil
			}
			return cty.ListVal(kept), nil
		},
	})
}

func holds(values []cty.Value, v cty.Value) bool {
	for _, other := range values {
		if other.RawEquals(v) {
			return true
		}
	}
	return false
}

// sequence is the parameter of the functions over a list, set or tuple.
func sequence(ty cty.Type) function.Parameter {
	return function.Parameter{Name: "list", Type: ty}
}

func elements(v cty.Value) ([]cty.Value, error) {
	if ty := v.Type(); !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType() {
		return nil, function.NewArgErrorf(0, "want a list or a set")
	}
	return v.AsValueSlice(), nil
}

// indexFunc returns where a value stands in a list.
func indexFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{sequence(cty.DynamicPseudoType), {Name: "value", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if args[0].Type().IsSetType() {
				return cty.NilVal, function.NewArgErrorf(0, "a set has no order; use tolist")
			}
			list, err := elements(args[0])
			if err != nil {
				return cty.NilVal, err
			}
			for i, element := range list {
				equal := element.Equals(args[1])
				if !equal.IsKnown() {
					return cty.UnknownVal(cty.Number), nil
				}
				if equal.True() {
					return cty.NumberIntVal(int64(i)), nil
				}
			}
			return cty.NilVal, errors.New("the list does not hold this value; ask contains first")
		},
	})
}

// oneFunc returns the only element, or null where there is none.
func oneFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{sequence(cty.DynamicPseudoType)},
		Type: func(args []cty.Value) (cty.Type, error) {
			ty := args[0].Type()
			switch {
			case ty.IsListType() || ty.IsSetType():
				return ty.ElementType(), nil
			case ty.IsTupleType() && ty.Length() == 0:
				return cty.DynamicPseudoType, nil
			case ty.IsTupleType() && ty.Length() == 1:
				return ty.TupleElementType(0), nil
			case ty.IsTupleType():
				return cty.NilType, errTooMany()
			}
			return cty.NilType, function.NewArgErrorf(0, "want a list or a set")
		},
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			switch list := args[0].AsValueSlice(); len(list) {
			case 0:
				return cty.NullVal(retType), nil
			case 1:
				return list[0], nil
			default:
				return cty.NilVal, errTooMany()
			}
		},
	})
}

func errTooMany() error {
	return function.NewArgErrorf(0, "more than one element; one wants a list of none or one")
}

// boolsFunc is alltrue where all is true, anytrue where it is false. Null
// counts as false.
func boolsFunc(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{sequence(cty.List(cty.Bool))},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unknown := false
			for it := args[0].ElementIterator(); it.Next(); {
				_, element := it.Element()
				if !element.IsKnown() {
					unknown = true
					continue
				}
				if holds := !element.IsNull() && element.True(); holds != all {
					return cty.BoolVal(!all), nil
				}
			}
			if unknown {
				return cty.UnknownVal(cty.Bool), nil
			}
			return cty.BoolVal(all), nil
		},
	})
}

// sumFunc adds up numbers; of none the sum is an error, as in Terraform.
func sumFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{sequence(cty.List(cty.Number))},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if args[0].LengthInt() == 0 {
				return cty.NilVal, function.NewArgErrorf(0, "the sum of no numbers; want at least one")
			}
			total := cty.Zero
			for it := args[0].ElementIterator(); it.Next(); {
				_, n := it.Element()
				if n.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "a number is null")
				}
				total = total.Add(n)
			}
			return total, nil
		},
	})
}
