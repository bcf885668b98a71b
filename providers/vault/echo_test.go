package vault

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// echo is a gateway that repeats what it was sent.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	body := `{"errors":["1 error occurred: ` + r.Header.Get("X-Vault-Token") + ` is not welcome"]}`
	return fixed{http.StatusBadRequest, []byte(body)}.RoundTrip(r)
}

// A server that repeats the token in its error puts it into no text of ours.
func TestTokenIsTakenOutOfErrors(t *testing.T) {
	const token = "hvs.CAESIJ-a-token-that-is-echoed"
	d, err := Open(testEnv(t, map[string]string{"VAULT_TOKEN": token}), &Config{Address: "https://vault.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	d.client.api = answering(t, echo{})
	d.seen = &mount{exists: true, version: "2"}
	p := providers.New("vault", d, providers.Options{})
	errs := map[string]error{}
	_, errs["list"] = p.List(t.Context())
	_, errs["inspect"] = p.Inspect(t.Context(), []string{"a"})
	_, errs["write"] = p.Write(t.Context(), providers.WriteRequest{Path: "a", Value: secret.String("value")})
	for op, err := range errs {
		if err == nil || strings.Contains(err.Error(), "CAESIJ") || !strings.Contains(err.Error(), "not welcome") {
			t.Errorf("%s: %v", op, err)
		}
	}
	// What a sign-in sends is a credential too.
	err = d.client.Call(t.Context(), secret.Value{}, http.MethodPost, "auth/approle/login", map[string]any{"secret_id": "the-secret-id"}, nil)
	if e, ok := err.(*providers.Error); !ok || len(e.Sent) != 1 {
		t.Errorf("the error of a sign-in names %v as sent", err)
	}
}
