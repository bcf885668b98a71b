package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/internal/dotenv"
	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
)

// discovery is what was found, on its way into blocks. It holds no value.
type discovery struct {
	cfg     *lang.Config
	dotenv  string // the .env file, "" for a store
	secrets []found
	empty   []found // variables without a value: only their name is kept
	taken   map[providers.Place]bool
	notes   []string
	untold  bool // a store does not tell which fields its secrets have
	// unplaced are paths of a store, as written, that nothing says what to call.
	unplaced []string
}

// found is one secret that exists.
type found struct {
	place    providers.Place
	variable string   // of a .env file
	fields   []string // of a store, where it tells; a single value has none
	path     string   // where it is, if not the default path
	id       string   // for the import block
	store    string
}

func newDiscovery(cfg *lang.Config, source string) *discovery {
	return &discovery{cfg: cfg, dotenv: source, taken: map[providers.Place]bool{}}
}

func (d *discovery) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// addVariable takes in one variable of a .env file.
func (d *discovery) addVariable(v dotenv.Variable, to rules) error {
	place, ok, err := to.place(v.Name)
	switch {
	case err != nil:
		return err
	case !ok:
		d.note("%s line %d: %s matches no -map and was left out.", d.dotenv, v.Line, v.Name)
		return nil
	}
	if d.cfg.Environments[place.Environment] == nil {
		return fmt.Errorf("%s would go to environment %q, which the configuration does not have", v.Name, place.Environment)
	}
	f := found{place: place, variable: v.Name}
	return v.Value.Expose(func(b []byte) error {
		if len(b) == 0 {
			// An empty value is no secret, and from_dotenv() refuses one.
			d.empty = append(d.empty, f)
			return nil
		}
		f.place = d.free(f.place)
		d.secrets = append(d.secrets, f)
		return nil
	})
}

// addFound takes in one secret of a store.
func (d *discovery) addFound(store *planner.Store, path string, meta providers.Meta, to rules) error {
	written := store.Written(path)
	place, ok, err := d.placeOf(store, path, written, to)
	if err != nil {
		return err
	}
	if !ok {
		d.unplaced = append(d.unplaced, written)
		return nil
	}
	f := found{place: d.free(place), id: written, store: store.Ref()}
	d.untold = d.untold || meta.Fields == nil
	if len(meta.Fields) > 1 || len(meta.Fields) == 1 && meta.Fields[0] != "" {
		f.fields = slices.Sorted(slices.Values(meta.Fields))
	}
	if usual, err := store.DefaultPath(f.place); err != nil || usual != path {
		f.path = written
	}
	d.secrets = append(d.secrets, f)
	return nil
}

// noteUnplaced says in one note what has no place; ruled is whether a person said
// what has one.
func (d *discovery) noteUnplaced(ruled bool) {
	const shown = 3
	one, several := "%s fits no default place; say what it is with -map.", "%d secrets fit no default place, such as %s; say what they are with -map."
	if ruled {
		one, several = "%s matches no -map and was left out.", "%d secrets match no -map and were left out, such as %s."
	}
	switch n := len(d.unplaced); {
	case n == 0:
	case n <= shown:
		for _, path := range d.unplaced {
			d.note(one, path)
		}
	default:
		d.note(several, n, strings.Join(d.unplaced[:shown], ", "))
	}
}

// placeOf turns a path into a place: by the rules, or by reading the store's
// default paths backwards.
func (d *discovery) placeOf(store *planner.Store, path, written string, to rules) (providers.Place, bool, error) {
	if len(to) > 0 {
		return to.place(written)
	}
	parts := strings.Split(written, "/")
	if len(parts) != 3 {
		return providers.Place{}, false, nil
	}
	for _, order := range [][3]int{{0, 1, 2}, {1, 0, 2}} {
		p := providers.Place{
			Kind: addr.KindSecret, App: validName(parts[order[0]]), Environment: validName(parts[order[1]]), Name: validName(parts[order[2]]),
		}
		usual, err := store.DefaultPath(p)
		if err == nil && usual == path && d.cfg.Environments[p.Environment] != nil {
			return p, true, nil
		}
	}
	return providers.Place{}, false, nil
}

// free returns a place that nothing found so far has, numbering the name.
func (d *discovery) free(p providers.Place) providers.Place {
	name := p.Name
	for n := 2; d.taken[p]; n++ {
		suffix := "_" + strconv.Itoa(n)
		p.Name = name[:min(len(name), 63-len(suffix))] + suffix
	}
	d.taken[p] = true
	return p
}

// blocks returns the text of the new file.
func (d *discovery) blocks() string {
	var b strings.Builder
	if d.dotenv != "" {
		fmt.Fprintf(&b, "# Made by coffer discover dotenv. %s stays the source of these values: keep it\n"+
			"# until they are applied and compared, then write manual() for from_dotenv().\n", d.dotenv)
	} else {
		b.WriteString("# Made by coffer discover. The import blocks can go once they are applied.\n")
		if d.untold {
			b.WriteString("# Which keys a secret has is not told without reading it: write\n" +
				"# fields = { NAME = manual() } for value = manual() where there are several.\n")
		}
	}
	apps := map[string][]found{}
	for _, f := range d.secrets {
		apps[f.place.App] = append(apps[f.place.App], f)
	}
	for _, app := range slices.Sorted(maps.Keys(apps)) {
		if d.hasApp(app) {
			d.note("The configuration has an app %q already: move what is in the new file into it.", app)
		}
		d.writeApp(&b, app, apps[app])
	}
	for _, f := range d.secrets {
		if f.id != "" {
			to := addr.Secret(f.place.App, f.place.Environment, f.place.Name)
			fmt.Fprintf(&b, "\nimport {\n  to    = %s\n  id    = %s\n  store = %s\n}\n", to, quoteHCL(f.id), f.store)
		}
	}
	return string(lang.Format([]byte(b.String())))
}

func (d *discovery) hasApp(name string) bool {
	return slices.ContainsFunc(d.cfg.Secrets, func(s *lang.Secret) bool { return s.Address.App == name })
}

func (d *discovery) writeApp(b *strings.Builder, app string, secrets []found) {
	environments := map[string]bool{}
	byName := map[string][]found{} // one block for a name that several environments have
	for _, f := range secrets {
		environments[f.place.Environment] = true
		byName[f.place.Name] = append(byName[f.place.Name], f)
	}
	fmt.Fprintf(b, "\napp %s {\n  environments = %s\n", quoteHCL(app), listHCL(sorted(environments)))
	for _, name := range sorted(byName) {
		d.writeSecret(b, name, byName[name], len(environments))
	}
	if d.dotenv != "" {
		d.writeEnvFile(b, app, secrets)
	}
	b.WriteString("}\n")
}

func (d *discovery) writeSecret(b *strings.Builder, name string, list []found, environments int) {
	f := list[0]
	fmt.Fprintf(b, "\n  secret %s {\n", quoteHCL(name))
	if len(list) < environments {
		var only []string
		for _, f := range list {
			only = append(only, f.place.Environment)
		}
		fmt.Fprintf(b, "    environments = %s\n", listHCL(only))
	}
	if f.path != "" {
		fmt.Fprintf(b, "    path = %s\n", quoteHCL(f.path))
	}
	switch {
	case d.dotenv != "":
		fmt.Fprintf(b, "    value = from_dotenv(%s, %s)\n", quoteHCL(d.dotenv), quoteHCL(f.variable))
	case len(f.fields) == 0:
		b.WriteString("    value = manual()\n")
	default:
		b.WriteString("    fields = {\n")
		for _, name := range f.fields {
			fmt.Fprintf(b, "      %s = manual()\n", quoteHCL(name))
		}
		b.WriteString("    }\n")
	}
	b.WriteString("  }\n")
}

// writeEnvFile gives the program its variables back, under their old names.
func (d *discovery) writeEnvFile(b *strings.Builder, app string, secrets []found) {
	b.WriteString("\n  env_file \"env\" {\n    data = {\n")
	slices.SortFunc(secrets, func(x, y found) int { return cmp.Compare(x.variable, y.variable) })
	for _, f := range secrets {
		fmt.Fprintf(b, "      %s = secret.%s\n", f.variable, f.place.Name)
	}
	for _, f := range d.empty {
		if f.place.App == app {
			fmt.Fprintf(b, "      %s = \"\"\n", f.variable)
		}
	}
	b.WriteString("    }\n  }\n")
}

// quoteHCL writes text as a string of HCL in which nothing is a template.
func quoteHCL(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strconv.Quote(s))
}

func listHCL(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quoteHCL(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
