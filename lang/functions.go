package lang

import (
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions returns the functions for what is not secret, by name. They are
// named and behave as Terraform's; docs/language.md lists the differences. None
// reads a clock, makes random numbers, starts a process or uses the network;
// only file, fileexists and filebase64 do I/O, below root, the configuration
// directory. With a nil root those three fail.
//
// Every function refuses arguments and results over the limits of [checkSize]
// before it does the work. Functions over secrets (base64encode, join, …) have
// the same names; whoever evaluates a call decides by its arguments.
func functions(root *os.Root) map[string]function.Function {
	all := map[string]function.Function{}
	for _, group := range []map[string]function.Function{
		textFunctions(), numberFunctions(), collectionFunctions(), conversionFunctions(), fileFunctions(root),
	} {
		for name, f := range group {
			all[name] = limited(f, bounds()[name])
		}
	}
	// try and can take expressions, not values: what those evaluate to is
	// bounded by the functions in them.
	all["try"], all["can"] = tryfunc.TryFunc, tryfunc.CanFunc
	return all
}

func textFunctions() map[string]function.Function {
	return map[string]function.Function{
		"chomp":        stdlib.ChompFunc,
		"endswith":     textTest("suffix", hasSuffix),
		"format":       stdlib.FormatFunc,
		"formatdate":   stdlib.FormatDateFunc,
		"formatlist":   stdlib.FormatListFunc,
		"indent":       stdlib.IndentFunc,
		"join":         stdlib.JoinFunc,
		"lower":        stdlib.LowerFunc,
		"regex":        stdlib.RegexFunc,
		"regexall":     stdlib.RegexAllFunc,
		"replace":      replaceFunc(),
		"split":        stdlib.SplitFunc,
		"startswith":   textTest("prefix", hasPrefix),
		"strcontains":  textTest("substring", containsText),
		"strrev":       stdlib.ReverseFunc,
		"substr":       stdlib.SubstrFunc,
		"timeadd":      stdlib.TimeAddFunc,
		"title":        stdlib.TitleFunc,
		"trim":         stdlib.TrimFunc,
		"trimprefix":   stdlib.TrimPrefixFunc,
		"trimspace":    stdlib.TrimSpaceFunc,
		"trimsuffix":   stdlib.TrimSuffixFunc,
		"upper":        stdlib.UpperFunc,
		"base64encode": textFunc(base64Encode),
		"base64decode": textFunc(base64Decode),
		"sha256":       textFunc(sha256Hex),
		"urlencode":    textFunc(urlEncode),
	}
}

func numberFunctions() map[string]function.Function {
	return map[string]function.Function{
		"abs":      stdlib.AbsoluteFunc,
		"ceil":     stdlib.CeilFunc,
		"floor":    stdlib.FloorFunc,
		"log":      stdlib.LogFunc,
		"max":      stdlib.MaxFunc,
		"min":      stdlib.MinFunc,
		"parseint": stdlib.ParseIntFunc,
		"pow":      stdlib.PowFunc,
		"signum":   stdlib.SignumFunc,
	}
}

func collectionFunctions() map[string]function.Function {
	return map[string]function.Function{
		"alltrue":         boolsFunc(true),
		"anytrue":         boolsFunc(false),
		"chunklist":       stdlib.ChunklistFunc,
		"coalesce":        coalesceFunc(),
		"coalescelist":    stdlib.CoalesceListFunc,
		"compact":         stdlib.CompactFunc,
		"concat":          stdlib.ConcatFunc,
		"contains":        stdlib.ContainsFunc,
		"distinct":        distinctFunc(),
		"element":         stdlib.ElementFunc,
		"flatten":         stdlib.FlattenFunc,
		"index":           indexFunc(),
		"keys":            stdlib.KeysFunc,
		"length":          lengthFunc(),
		"lookup":          stdlib.LookupFunc,
		"merge":           stdlib.MergeFunc,
		"one":             oneFunc(),
		"range":           stdlib.RangeFunc,
		"reverse":         stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc,
		"setproduct":      stdlib.SetProductFunc,
		"setsubtract":     stdlib.SetSubtractFunc,
		"setunion":        stdlib.SetUnionFunc,
		"slice":           stdlib.SliceFunc,
		"sort":            stdlib.SortFunc,
		"sum":             sumFunc(),
		"values":          stdlib.ValuesFunc,
		"zipmap":          stdlib.ZipmapFunc,
	}
}

func conversionFunctions() map[string]function.Function {
	return map[string]function.Function{
		"csvdecode":  stdlib.CSVDecodeFunc,
		"jsondecode": stdlib.JSONDecodeFunc,
		"jsonencode": stdlib.JSONEncodeFunc,
		"tobool":     stdlib.MakeToFunc(cty.Bool),
		"tolist":     stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"tomap":      stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"tonumber":   stdlib.MakeToFunc(cty.Number),
		"toset":      stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tostring":   stdlib.MakeToFunc(cty.String),
	}
}

// limited puts the limits in front of and behind f. The arguments of one call
// may hold four times what one value may. bound, which may be nil, adds what
// the result of just this function can grow to.
func limited(f function.Function, bound func(args []cty.Value, result *size) error) function.Function {
	check := func(args []cty.Value) error {
		given := newSize(4)
		for _, arg := range args {
			given.add(arg)
		}
		if given.err != nil {
			return fmt.Errorf("the arguments hold %w", given.err)
		}
		if bound == nil || !whollyKnown(args) {
			return nil
		}
		result := newSize(1)
		if err := bound(args, result); err != nil {
			return err
		}
		if result.err != nil {
			return fmt.Errorf("the result could hold %w", result.err)
		}
		return nil
	}
	return function.New(&function.Spec{
		Description: f.Description(),
		Params:      f.Params(),
		VarParam:    f.VarParam(),
		// The type is asked for before anything else, and some functions do
		// most of their work to tell it.
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args); err != nil {
				return cty.NilType, err
			}
			ty, err := f.ReturnTypeForValues(args)
			return ty, withoutStack(err)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			result, err := f.Call(args)
			if err != nil {
				return cty.NilVal, withoutStack(err)
			}
			if err := checkSize(result); err != nil {
				return cty.NilVal, fmt.Errorf("the result holds %w", err)
			}
			return result, nil
		},
	})
}

// errPanic stands for a panic inside a library function. cty turns it into an
// error whose text is the stack.
var errPanic = errors.New("it cannot work with these arguments; use others")

func withoutStack(err error) error {
	if _, ok := errors.AsType[function.PanicError](err); ok {
		return errPanic
	}
	return err
}

// whollyKnown reports whether a bound can look at the arguments. The size check
// before it made sure that looking is cheap.
func whollyKnown(args []cty.Value) bool {
	for _, arg := range args {
		if !arg.IsWhollyKnown() || arg.ContainsMarked() {
			return false
		}
	}
	return true
}
