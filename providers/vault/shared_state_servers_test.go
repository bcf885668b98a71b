//go:build servers

package vault

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// What a shared state takes from the server: a key that encrypts it, and the
// highest serial that was seen. Each with just the rights that are printed.
func TestWhatASharedStateNeeds(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	s.Must(http.MethodPost, "sys/mounts/transit", map[string]any{"type": "transit"})
	s.Must(http.MethodPost, "transit/keys/state", nil)
	mount := s.KV()
	config := Config{Address: s.Address, Mount: mount, Prefix: "team"}
	as := func(phase providers.Phase) *Driver {
		c := config
		c.Token = plainCredential(s.RootToken)
		req := providers.PermissionRequest{Phase: phase, Secrets: []providers.Use{{Path: "team/a"}}, Watermark: "shop-1-0a1b2c3d4e5f", Keys: []string{"transit/state"}}
		d := open(t, c)
		s.Policy("state-"+string(phase), d.PermissionDocument(req, d.Permissions(req)))
		c.Token = plainCredential(s.TokenWith("state-" + string(phase)))
		return open(t, c)
	}
	plan, apply := as(providers.PhasePlan), as(providers.PhaseApply)

	key := bytes.Repeat([]byte{0, 0xff}, 16)
	text, err := apply.Encrypt(t.Context(), "transit/state", secret.New(key))
	if err != nil || !strings.HasPrefix(text, "vault:v1:") {
		t.Fatalf("encrypt: %q, %v", text, err)
	}
	v, err := plan.Decrypt(t.Context(), "transit/state", text)
	if err != nil {
		t.Fatal(err)
	}
	_ = v.Expose(func(b []byte) error {
		if !bytes.Equal(b, key) {
			t.Error("another key came back")
		}
		return nil
	})
	if _, err := plan.Encrypt(t.Context(), "transit/state", secret.New(key)); providers.CodeOf(err) != providers.Denied || !strings.Contains(err.Error(), "transit/encrypt/state") {
		t.Errorf("encrypt with the plan's token: %v", err)
	}
	for _, name := range []string{"state", "transit/", "/state", "transit/none"} {
		if _, err := apply.Decrypt(t.Context(), name, text); err == nil {
			t.Errorf("decrypted with %q", name)
		}
	}

	if n, err := plan.Watermark(t.Context(), "shop-1-0a1b2c3d4e5f"); n != 0 || err != nil {
		t.Errorf("no mark: %d, %v", n, err)
	}
	if err := plan.SetWatermark(t.Context(), "shop-1-0a1b2c3d4e5f", 7); providers.CodeOf(err) != providers.Denied {
		t.Errorf("set with the plan's token: %v", err)
	}
	for _, serial := range []uint64{7, 8} {
		if err := apply.SetWatermark(t.Context(), "shop-1-0a1b2c3d4e5f", serial); err != nil {
			t.Fatal(err)
		}
		if n, err := plan.Watermark(t.Context(), "shop-1-0a1b2c3d4e5f"); n != serial || err != nil {
			t.Errorf("the mark is %d, %v; want %d", n, err, serial)
		}
	}
	all := config
	all.Token = plainCredential(s.RootToken)
	found, err := open(t, all).List(t.Context())
	if err != nil || len(found) != 0 {
		t.Errorf("the mark is listed as a secret: %v, %v", found, err)
	}
	s.Must(http.MethodPost, mount+"/metadata/team/.coffer/shop-1-0a1b2c3d4e5f", map[string]any{"custom_metadata": map[string]string{"coffer_serial": "18446744073709551615"}})
	if _, err := plan.Watermark(t.Context(), "shop-1-0a1b2c3d4e5f"); err == nil {
		t.Error("a serial beyond all sense was taken")
	}
}
