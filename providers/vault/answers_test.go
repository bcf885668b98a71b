package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// Answers that no server gives are errors, and never an object that is gone, an
// access that nobody has, or a permission that is there.
func TestOddAnswersOnObjects(t *testing.T) {
	refs := []providers.ObjectRef{
		{Kind: KindPolicy, Path: "p"},
		{Kind: KindBinding, Path: "approle:approle/r p"},
		{Kind: KindRole, Path: "jwt:jwt/r"},
		{Kind: KindMount, Path: "kv:m"},
		{Kind: KindBinding, Path: "entity:e p"},
	}
	for _, body := range []string{
		`{}`, `{"data":null}`, `{"data":{}}`, `{"data":[]}`, `[]`, `null`, `{"data":{"policy":7,"type":7}}`, `{"data"`, `<html>sign in</html>`,
		`{"data":{"keys":7}}`, strings.Repeat(`{"data":`, 20_000), `{"data":{"policy":"path \"a\" {","keys":["p"],"role_type":[],"type":"kv","options":{"version":"2"},"max_versions":"many"}}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		t.Cleanup(server.Close)
		d := driverAt(t, server.URL)
		short := body[:min(len(body), 60)]
		found, err := d.InspectObjects(t.Context(), refs)
		var partial *providers.PartialError
		if !errors.As(err, &partial) {
			t.Errorf("%s: %v", short, err)
			continue
		}
		for _, ref := range refs {
			_, there := found[ref]
			var e *providers.Error
			if failed := partial.Paths[ref.Path]; !there && (failed == nil || !errors.As(failed, &e)) {
				t.Errorf("%s: the %s %s is gone, %v", short, ref.Kind, ref.Path, failed)
			}
			if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, Document: "type = \"kv\"\n", IfVersion: "1"}); err == nil {
				t.Errorf("%s: the %s %s was written", short, ref.Kind, ref.Path)
			}
		}
		if _, err := d.UndeclaredAccess(t.Context(), []providers.Managed{{Path: "a"}}, nil); err == nil {
			t.Errorf("%s: nobody else can read", short)
		}
		for _, f := range d.Examine(t.Context(), []providers.Permission{{Path: "a", Capabilities: []string{"read"}}}) {
			if f.Subject == "a" && f.Status == providers.FindingOK {
				t.Errorf("%s: permitted", short)
			}
		}
	}
}

// driverAt returns a driver with a token.
func driverAt(t *testing.T, address string) *Driver {
	t.Helper()
	d, err := Open(providers.Env{
		Getenv: func(string) string { return "" }, Now: time.Now, Random: rand.Reader, Project: "test", Phase: providers.PhaseApply,
	}, &Config{Address: address, Token: providers.NewCredential("the test", false, func(context.Context) (secret.Value, error) { return secret.String("t"), nil })})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
