package lang

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// readerCapsule is the one cty type of a reader. A capsule type is equal only
// to itself, so it is made once for each loader.
func readerCapsule() cty.Type { return cty.Capsule("reader", reflect.TypeFor[Reader]()) }

// readerSignature is one reader function: a reader as a value, so that lists of
// readers can be made with for and concat.
type readerSignature struct {
	name  string
	words []string // what its arguments are called, all required
	// mount: a last argument may say where the platform's method of sign-in is
	// mounted, if not in its usual place.
	mount bool
	// names: what it says are names in a cluster, which have no slash.
	names bool
}

func readerSignatures() []readerSignature {
	return []readerSignature{
		{name: "age_recipient", words: []string{"recipient"}},
		{name: "vault_approle", words: []string{"role"}, mount: true},
		{name: "vault_kubernetes", words: []string{"namespace", "service account"}, mount: true},
		{name: "vault_jwt", words: []string{"role"}, mount: true},
		{name: "vault_entity", words: []string{"entity"}},
		{name: "vault_group", words: []string{"group"}},
		{name: "kubernetes_service_account", words: []string{"namespace", "service account"}, names: true},
		{name: "kubernetes_group", words: []string{"group"}},
	}
}

// form shows how a call is written: vault_approle("ROLE", "MOUNT").
func (r readerSignature) form(withMount bool) string {
	var args []string
	for _, word := range r.words {
		args = append(args, fmt.Sprintf("%q", strings.ToUpper(strings.ReplaceAll(word, " ", "_"))))
	}
	if withMount {
		args = append(args, `"MOUNT"`)
	}
	return r.name + "(" + strings.Join(args, ", ") + ")"
}

func (r readerSignature) function(typ cty.Type) function.Function {
	spec := &function.Spec{
		Type: function.StaticReturnType(typ),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			texts := make([]string, len(args))
			for i, arg := range args {
				texts[i] = arg.AsString()
			}
			if err := r.check(texts); err != nil {
				return cty.NilVal, err
			}
			return cty.CapsuleVal(typ, &Reader{Func: r.name, Args: texts}), nil
		},
	}
	for _, word := range r.words {
		spec.Params = append(spec.Params, function.Parameter{Name: word, Type: cty.String})
	}
	if r.mount {
		spec.VarParam = &function.Parameter{Name: "mount", Type: cty.String}
	}
	return function.New(spec)
}

// check refuses what can name nothing on any platform; the rest only the
// platform knows.
func (r readerSignature) check(args []string) error {
	if len(args) > len(r.words)+1 {
		return fmt.Errorf("too many arguments; write %s or %s", r.form(false), r.form(true))
	}
	names := append(slices.Clone(r.words), "mount")
	for i, arg := range args {
		switch {
		case arg == "" && len(names) == 2 && i == 0:
			return fmt.Errorf("it is empty; name the %s", names[i])
		case arg == "":
			return fmt.Errorf("the %s is empty; name it%s", names[i], orLeaveOut(names[i]))
		case strings.ContainsFunc(arg, unicode.IsControl) || strings.TrimSpace(arg) != arg:
			return fmt.Errorf("the %s has a space at an end, or a control character", names[i])
		case names[i] == "mount" && (strings.HasPrefix(arg, "auth/") || strings.Trim(arg, "/") != arg):
			return errors.New(`the mount is written without auth/ and without a slash at an end: "approle"`)
		case r.names && strings.ContainsAny(arg, "/ "):
			return fmt.Errorf("no cluster has such a %s: it has no slashes and spaces; write %s", names[i], r.form(false))
		case names[i] != "mount" && r.mount && strings.Contains(arg, "/"):
			return fmt.Errorf("a %s has no slash in it; another mount is the last argument: %s", names[i], r.form(true))
		}
	}
	return nil
}

func orLeaveOut(name string) string {
	if name == "mount" {
		return ", or leave it out"
	}
	return ""
}
