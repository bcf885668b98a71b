package providertest

import (
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
	"github.com/cofferhq/coffer/providers/secret"
)

// hostilePaths is how many of the hostile strings are tried in a path.
const hostilePaths = 80

// odd returns paths that differ from path in ways that platforms like to
// overlook.
func odd(path string) []string {
	first, rest, _ := strings.Cut(path, "/")
	last := path[strings.LastIndexByte(path, '/')+1:]
	dir := strings.TrimSuffix(path, last)
	list := []string{
		"", " ", "/", ".", "..", "../" + path, "/" + path, path + "/", path + "//", "./" + path, path + "/.", path + "/..", path + "/../" + last,
		first + "//" + rest, first + "/./" + rest, first + "/x/../" + rest, dir + ".." + last, path + "/child", path + ".yaml", path + ".", "." + path,
		path + " ", " " + path, dir + " " + last, path + "\t", path + "\n", path + "\x00", path + "\x00x", strings.ToUpper(path), dir + strings.ToUpper(last),
		strings.ReplaceAll(path, "/", "%2F"), strings.ReplaceAll(path, "/", "%2f"), strings.ReplaceAll(path, "/", `\`), strings.ReplaceAll(path, "/", "-"), strings.ReplaceAll(path, "/", "_"), strings.ReplaceAll(path, "-", "_"),
		path + "%00", path + "%20", path + "+", path + "?version=1", path + "#1", path + "@1", path + ":1", path + "=", path + "&a=b", path + ";", path + ",", path + "*", path + "'", path + `"`, path + "`", path + "$x", path + "${x}", path + "{}", path + "[0]", path + "|", path + "~", path + "!",
		dir + "caf\u00e9", dir + "cafe\u0301", dir + "日本語", dir + "🔑", dir + "-dash", dir + "metadata", dir + "data", dir + "sops", dir + "0", dir + "null", dir + "true", dir + "1e3", dir + "~", dir + "- a", dir + "a: b", dir + "<<",
		dir + strings.Repeat("l", 64), dir + strings.Repeat("l", 300), strings.Repeat("d/", 40) + "deep", dir + "\xff",
	}
	strange := hostile.InPaths()
	step := max(1, len(strange)/hostilePaths)
	for i := 0; i < len(strange); i += step {
		list = append(list, path+strange[i], dir+strange[i])
	}
	return list
}

// oddPaths: each path is one place of its own, or Invalid. None is silently
// another one's.
func oddPaths(s *session) {
	kept := map[string]secret.Value{}
	var refused []string
	base := s.path()
	for _, path := range []string{base, s.path()} {
		kept[path] = s.value()
		s.create(path, kept[path])
	}
	tried := map[string]bool{base: true}
	for _, path := range odd(base) {
		if _, ok := kept[path]; ok || tried[path] {
			continue
		}
		tried[path] = true
		v := s.value()
		m, err := s.p.Write(s.ctx, providers.WriteRequest{Path: path, Value: v, OpID: s.op()})
		switch {
		case err == nil && m.Version != "":
			kept[path] = v
		case err == nil:
			s.Errorf("path %q was taken and has no version", path)
		default:
			refused = append(refused, path)
			s.wantCode(err, fmt.Sprintf("path %q", path), providers.Invalid)
		}
	}
	s.settle()
	s.Logf("%d odd paths kept, %d invalid", len(kept)-2, len(refused))
	s.wantKept(kept)
	for _, path := range refused {
		found, err := s.p.Inspect(s.ctx, []string{path})
		if len(found) > 0 {
			s.Errorf("inspect of the invalid path %q has an answer", path)
		}
		if err != nil {
			s.wantCode(unpack(err, path), fmt.Sprintf("inspect of %q", path), providers.Invalid)
		}
		if _, err := s.p.Read(s.ctx, path, ""); err == nil {
			s.Errorf("read of the invalid path %q has an answer", path)
		}
	}
}

func (s *session) wantKept(kept map[string]secret.Value) {
	s.Helper()
	var paths []string
	for path, v := range kept {
		paths = append(paths, path)
		s.wantValue(path, "", v)
	}
	found, err := s.p.Inspect(s.ctx, paths)
	if err != nil {
		s.Errorf("inspect of the odd paths: %v", err)
	}
	s.wantExactly("inspect of the odd paths", found, paths)
	if s.p.CanList() {
		found, err := s.p.List(s.ctx)
		if err != nil {
			s.Errorf("list of the odd paths: %v", err)
		}
		s.wantExactly("list of the odd paths", found, paths)
	}
}

// places: what is made from names can be used, and other names lead elsewhere.
func places(s *session) {
	seen := map[string]providers.Place{}
	for _, place := range []providers.Place{
		{App: "shop", Environment: "production", Name: "db"},
		{App: "shop", Environment: "production", Name: "db-url"},
		{App: "shop", Environment: "production", Name: "db_url"},
		{App: "shop", Environment: "staging", Name: "db"},
		{App: "shop-staging", Environment: "production", Name: "db"},
		{App: "shop", Environment: "staging-production", Name: "db"},
		{App: "production", Environment: "shop", Name: "db"},
		{App: strings.Repeat("a", 63), Environment: strings.Repeat("e", 63), Name: strings.Repeat("n", 63)},
	} {
		place.Kind = s.h.Kind
		path, err := s.p.DefaultPath(place)
		if err != nil {
			s.wantPlaceError(place, err)
			continue
		}
		if again, err := s.p.DefaultPath(place); err != nil || again != path {
			s.Errorf("default path of %+v is %q, then %q, error %v", place, path, again, err)
		}
		if same, err := s.p.Resolve(s.h.Kind, s.p.Written(path)); err != nil || same != path {
			s.Errorf("default path %q of %+v resolves to %q, error %v", path, place, same, err)
		}
		// Two places on one path are told by the planner; here they may only come
		// of "_" and "-" being the same to the platform.
		if other, taken := seen[path]; taken {
			if strings.ReplaceAll(fmt.Sprint(other), "_", "-") != strings.ReplaceAll(fmt.Sprint(place), "_", "-") {
				s.Logf("%+v and %+v share the path %q", other, place, path)
			}
			continue
		}
		seen[path] = place
		v := s.value()
		s.create(path, v)
		s.wantValue(path, "", v)
	}
	for _, path := range []string{"", "..", "a/../b", "a//b", "a\x00b", "\xff"} {
		if got, err := s.p.Resolve(s.h.Kind, path); err == nil {
			s.Errorf("path %q resolves to %q", path, got)
		}
	}
}

func (s *session) wantPlaceError(place providers.Place, err error) {
	s.Helper()
	if len(place.App) < 63 {
		s.Errorf("default path of %+v: %v", place, err)
		return
	}
	s.cannot("very long names: %v", err)
}
