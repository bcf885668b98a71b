//go:build servers

package vault

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// A leeway below zero is none at all, and 0 is the server's own. Neither what is
// declared nor a policy that is attached to such a role makes one of the other.
func TestLeewayBelowZero(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	newPrograms(t, s) // the auth methods
	d := open(t, Config{Address: s.Address, Mount: "secret", Token: plainCredential(s.RootToken)})
	leeways := func(role string) [3]float64 {
		t.Helper()
		data := s.Must(http.MethodGet, "auth/team/jwt/role/"+role, nil)
		return [3]float64{data["expiration_leeway"].(float64), data["not_before_leeway"].(float64), data["clock_skew_leeway"].(float64)}
	}
	for name, args := range map[string]map[string]any{
		"as text":   {"expiration_leeway": "-1", "not_before_leeway": "-1s", "clock_skew_leeway": "0"},
		"as number": {"expiration_leeway": -1.0, "not_before_leeway": -1.0},
	} {
		t.Run(name, func(t *testing.T) {
			args["mount"], args["user_claim"], args["bound_subject"] = "team/jwt", "sub", "s"
			specs, err := d.CompileDeclaration(providers.Declaration{Kind: "role", Type: typeJWT, Name: "declared-" + name[3:], Args: args})
			if err != nil {
				t.Fatal(err)
			}
			write(t, d, specs[0])
			if got := leeways("declared-" + name[3:]); got != [3]float64{-1, -1, 0} {
				t.Errorf("the server has %v", got)
			}
			live, err := d.InspectObjects(t.Context(), []providers.ObjectRef{specs[0].Ref})
			if o := live[specs[0].Ref]; err != nil || !strings.Contains(o.Document, "expiration_leeway = \"-1s\"\n") {
				t.Errorf("it is seen as %q, %v", o.Document, err)
			}
		})
	}
	s.Must(http.MethodPost, "auth/team/jwt/role/theirs", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_subject": "s", "expiration_leeway": -1, "not_before_leeway": -5, "clock_skew_leeway": -1,
	})
	write(t, d, providers.ObjectSpec{Ref: providers.ObjectRef{Kind: KindBinding, Path: "jwt:team/jwt/theirs p"}, Document: attached})
	if got := leeways("theirs"); got != [3]float64{-1, -5, -1} {
		t.Errorf("with a policy attached it has %v", got)
	}
}
