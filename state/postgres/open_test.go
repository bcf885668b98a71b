package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/state/remote"
)

// clean takes the PG* variables of whoever runs the tests away.
func clean(t *testing.T) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("HOME", t.TempDir())
}

func TestOpenRefuses(t *testing.T) {
	clean(t)
	for _, c := range []struct {
		config Config
		says   string
	}{
		{Config{}, "name is empty"},
		{Config{Name: strings.Repeat("x", 201)}, "201 bytes"},
		{Config{Name: "a\nb"}, "does not print"},
		{Config{Name: "a\xff"}, "does not print"},
		{Config{Name: "a", Schema: strings.Repeat("s", 64)}, "64 bytes"},
		{Config{Name: "a", Connection: "postgres://coffer:SECRET@db/app"}, "PGPASSFILE"},
		{Config{Name: "a", Connection: "postgres://coffer@db/app?password=SECRET"}, "PGPASSFILE"},
		{Config{Name: "a", Connection: "postgres://coffer@db/app?sslpassword=SECRET"}, "PGPASSFILE"},
		{Config{Name: "a", Connection: "host=db password='SECRET'"}, "PGPASSFILE"},
		{Config{Name: "a", Connection: "host=db servicefile=/tmp/SECRET"}, "not understood"},
		{Config{Name: "a", Connection: "host=db search_path=SECRET"}, "not understood"},
		{Config{Name: "a", Connection: "postgres://coffer:SEC/RET:SECRET@db:SECRET/app"}, "not understood"},
		{Config{Name: "a", Connection: "SECRET"}, "not understood"},
		{Config{Name: "a", Connection: "host=db sslmode=sometimes"}, "not understood"},
		{Config{Name: "a", Connection: "host=db sslmode=verify-full sslrootcert=/nonexistent/ca.pem"}, "/nonexistent/ca.pem"},
	} {
		_, err := c.config.Open(t.Context(), remote.Env{})
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Code != remote.Invalid || !e.Unchanged || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}

func TestPlaceIsNamed(t *testing.T) {
	clean(t)
	t.Setenv("PGPASSWORD", "SECRET")
	t.Setenv("PGDATABASE", "of_env")
	for connection, want := range map[string]string{
		"postgres://coffer@db.example.com/app?sslmode=require": "postgres://db.example.com:5432/app/coffer/team%2Fshop%3F",
		"host=/run/postgresql dbname=a#b user=x":               "postgres://localhost:5432/a%23b/coffer/team%2Fshop%3F",
		"host=::1 port=6432 user=x":                            "postgres://[::1]:6432/of_env/coffer/team%2Fshop%3F",
	} {
		b, err := (&Config{Connection: connection, Name: "team/shop?"}).Open(t.Context(), remote.Env{})
		if err != nil || b.String() != want {
			t.Errorf("%s: %v, %v, want %s", connection, b, err, want)
		}
	}
}

// A password that is asked for in clear would be given to whoever pretends that
// the server has no TLS.
func TestNoFallbackToClear(t *testing.T) {
	clean(t)
	for connection, clear := range map[string]bool{
		"host=db.example.com":                             false,
		"host=db.example.com,other.example.com":           false,
		"host=db.example.com sslmode=prefer":              false,
		"host=db.example.com sslmode=require":             false,
		"host=db.example.com sslmode=disable":             true,
		"host=127.0.0.1":                                  true,
		"host=localhost":                                  true,
		"host=" + filepath.Join(t.TempDir(), "no_server"): true,
	} {
		c, err := parse(connection+" user=coffer", "coffer/1")
		if err != nil {
			t.Fatal(err)
		}
		got := c.TLSConfig == nil
		for _, f := range c.Fallbacks {
			got = got || f.TLSConfig == nil
		}
		if got != clear {
			t.Errorf("%s: in clear %t, want %t", connection, got, clear)
		}
		if c.RuntimeParams["application_name"] != "coffer/1" || c.ConnectTimeout == 0 {
			t.Errorf("%s: %v %v", connection, c.RuntimeParams, c.ConnectTimeout)
		}
	}
}

func TestPermissionsNameWhatIsAsked(t *testing.T) {
	c := &Config{Name: "shop", Schema: `odd "name"`}
	plan, apply := c.Permissions(false), c.Permissions(true)
	for _, never := range []string{"CREATE", "INSERT", "UPDATE", "DELETE"} {
		if strings.Contains(plan, never) {
			t.Errorf("a plan may %s", never)
		}
	}
	for _, want := range []string{`"odd ""name""".replaced_entries`, "CREATE TABLE IF NOT EXISTS", "GRANT DELETE"} {
		if !strings.Contains(apply, want) {
			t.Errorf("no %s in\n%s", want, apply)
		}
	}
}
