//go:build servers

package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// Whoever a reader names can sign in and read exactly the secrets that the
// policy covers.
func TestReaders(t *testing.T) {
	s := vaulttest.Start(t, vaulttest.Options{})
	mount := s.KV()
	d := open(t, Config{Address: s.Address, Mount: mount, Prefix: "shop", Token: plainCredential(s.RootToken)})
	covered, others := []string{"shop/prod/db", "shop/prod/api"}, []string{"shop/prod/dbx", "shop/prod/db/x", "shop/prod", "other"}
	for _, p := range append(covered, others...) {
		s.Must(http.MethodPost, mount+"/data/"+p, map[string]any{"data": map[string]any{"value": "v"}})
	}
	who := newPrograms(t, s)
	const policy = `app.shop.policy.web["prod"]`
	var grants []providers.Grant
	for _, r := range []providers.Reader{
		{Func: "vault_approle", Args: []string{"web"}},
		{Func: "vault_jwt", Args: []string{"ci", "team/jwt"}},
		{Func: "vault_entity", Args: []string{"alice"}},
		{Func: "vault_group", Args: []string{"ops"}},
		{Func: "vault_kubernetes", Args: []string{"shop", "api"}},
	} {
		grants = append(grants, providers.Grant{Policy: policy, Environment: "prod", Reader: r, Paths: covered})
	}
	role, err := d.CompileDeclaration(providers.Declaration{Kind: "role", Type: "jwt", Name: "ci", Args: map[string]any{
		"mount": "team/jwt", "user_claim": "sub", "bound_audiences": []any{"coffer"}, "token_ttl": "20m",
	}})
	if err != nil {
		t.Fatal(err)
	}
	specs, err := d.CompileAccess(nil, grants)
	if err != nil {
		t.Fatal(err)
	}
	jwtBinding := providers.ObjectRef{Kind: KindBinding, Path: "jwt:team/jwt/ci " + mount + "--shop--shop-prod-web"}
	if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: jwtBinding, Document: attached}); providers.CodeOf(err) != providers.NotFound {
		t.Errorf("a binding of a role that nobody declared: %v", err)
	}
	write(t, d, append(role, specs...)...)

	for name, signIn := range map[string]func() string{
		"approle":    func() string { return who.appRole("web") },
		"jwt":        func() string { return who.jwt("ci") },
		"entity":     func() string { return who.password("alice") },
		"group":      func() string { return who.password("bob") },
		"kubernetes": func() string { return who.kubernetes("shop-api", "shop", "api") },
	} {
		token := signIn()
		for _, p := range covered {
			who.status(name, token, http.MethodGet, mount+"/data/"+p, http.StatusOK)
			for _, part := range []string{"metadata", "subkeys", "detailed-metadata"} {
				who.status(name, token, http.MethodGet, mount+"/"+part+"/"+p, http.StatusForbidden)
			}
			who.status(name, token, http.MethodPost, mount+"/data/"+p, http.StatusForbidden)
			who.status(name, token, http.MethodDelete, mount+"/data/"+p, http.StatusForbidden)
		}
		for _, p := range others {
			who.status(name, token, http.MethodGet, mount+"/data/"+p, http.StatusForbidden)
		}
		who.status(name, token, "LIST", mount+"/metadata/shop", http.StatusForbidden)
	}
	// Another service account is not let in, and a reader that is taken away
	// reads no more.
	if token := who.kubernetes("shop-api", "shop", "other"); token != "" {
		t.Error("another service account signed in")
	}
	live, err := d.InspectObjects(t.Context(), refsOf(specs))
	if err != nil || len(live) != len(specs) {
		t.Fatalf("%d of %d objects, %v", len(live), len(specs), err)
	}
	for _, spec := range specs {
		if spec.Ref.Kind == KindBinding {
			if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{
				Ref: spec.Ref, IfVersion: live[spec.Ref].Version, Attributes: providers.Attributes{Mark: providers.Mark{Project: "test"}},
			}); err != nil {
				t.Errorf("taking away %s: %v", spec.Ref.Path, err)
			}
		}
	}
	for name, token := range map[string]string{"approle": who.appRole("web"), "jwt": who.jwt("ci"), "entity": who.password("alice"), "group": who.password("bob")} {
		who.status(name, token, http.MethodGet, mount+"/data/"+covered[0], http.StatusForbidden)
	}
}

// write makes objects in order and checks that each is then as it was wanted.
func write(t *testing.T, d *Driver, specs ...providers.ObjectSpec) {
	t.Helper()
	for _, spec := range specs {
		o, err := d.WriteObject(t.Context(), providers.ObjectRequest{
			Ref: spec.Ref, Document: spec.Document, Attributes: providers.Attributes{Mark: providers.Mark{Project: "test", Address: "a1"}},
		})
		if err != nil || o.Like(spec.Document) != spec.Document {
			t.Fatalf("%s: %v, document %q, want %q", spec.Ref.Path, err, o.Document, spec.Document)
		}
		live, err := d.InspectObjects(t.Context(), []providers.ObjectRef{spec.Ref})
		if err != nil || !reflect.DeepEqual(live[spec.Ref], o) {
			t.Fatalf("%s: written %+v, seen %+v, %v", spec.Ref.Path, o, live[spec.Ref], err)
		}
	}
}

func refsOf(specs []providers.ObjectSpec) []providers.ObjectRef {
	var refs []providers.ObjectRef
	for _, s := range specs {
		refs = append(refs, s.Ref)
	}
	return refs
}

// programs signs in to a server in every way that a reader can have.
type programs struct {
	t   *testing.T
	s   *vaulttest.Server
	key *ecdsa.PrivateKey
}

func newPrograms(t *testing.T, s *vaulttest.Server) *programs {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &programs{t, s, key}
	for path, typ := range map[string]string{"approle": "approle", "team/jwt": "jwt", "userpass": "userpass", "kubernetes": "kubernetes"} {
		s.Must(http.MethodPost, "sys/auth/"+path, map[string]any{"type": typ})
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	s.Must(http.MethodPost, "auth/team/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{pemText("PUBLIC KEY", der)}})
	reviewer := httptest.NewTLSServer(http.HandlerFunc(reviewToken))
	t.Cleanup(reviewer.Close)
	s.Must(http.MethodPost, "auth/kubernetes/config", map[string]any{
		"kubernetes_host": reviewer.URL, "disable_local_ca_jwt": true, "kubernetes_ca_cert": pemText("CERTIFICATE", reviewer.Certificate().Raw), "token_reviewer_jwt": p.sign(map[string]any{"sub": "reviewer"}),
	})
	accessor := s.Must(http.MethodGet, "sys/auth/userpass", nil)["accessor"]
	for _, name := range []string{"alice", "bob"} {
		s.Must(http.MethodPost, "auth/userpass/users/"+name, map[string]any{"password": "pass-" + name})
		id := s.Must(http.MethodPost, "identity/entity", map[string]any{"name": name})["id"]
		s.Must(http.MethodPost, "identity/entity-alias", map[string]any{"name": name, "canonical_id": id, "mount_accessor": accessor})
		if name == "bob" {
			s.Must(http.MethodPost, "identity/group", map[string]any{"name": "ops", "member_entity_ids": []any{id}})
		}
	}
	return p
}

func pemText(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

// reviewToken is the TokenReview endpoint of a cluster that knows every token
// that has a service account in it.
func reviewToken(w http.ResponseWriter, r *http.Request) {
	var review struct{ Spec struct{ Token string } }
	if r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || json.NewDecoder(r.Body).Decode(&review) != nil {
		http.Error(w, "no", http.StatusNotFound)
		return
	}
	var claims struct{ Sub string }
	_, rest, _ := strings.Cut(review.Spec.Token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	if data, err := base64.RawURLEncoding.DecodeString(payload); err != nil || json.Unmarshal(data, &claims) != nil {
		http.Error(w, "no token", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": map[string]any{
		"authenticated": true, "user": map[string]any{
			"username": claims.Sub, "uid": "uid-1", "groups": []string{"system:serviceaccounts", "system:authenticated"},
		},
	}})
}

// sign makes a token of JSON Web Signature with ES256.
func (p *programs) sign(claims map[string]any) string {
	p.t.Helper()
	now := time.Now()
	for name, v := range map[string]any{"iat": now.Unix(), "nbf": now.Unix() - 5, "exp": now.Add(time.Hour).Unix(), "iss": "test"} {
		claims[name] = v
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	r, sig, err := ecdsa.Sign(rand.Reader, p.key, sum[:])
	if err != nil {
		p.t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	sig.FillBytes(raw[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(raw)
}

// login returns the token of a sign-in, "" where it is refused.
func (p *programs) login(path string, body map[string]any) string {
	p.t.Helper()
	status, answer := p.s.Do(http.MethodPost, path, "", body)
	if status != http.StatusOK {
		p.t.Logf("%s: %v", path, answer["errors"])
		return ""
	}
	return answer["auth"].(map[string]any)["client_token"].(string)
}

func (p *programs) appRole(role string) string {
	id := p.s.Must(http.MethodGet, "auth/approle/role/"+role+"/role-id", nil)["role_id"]
	secretID := p.s.Must(http.MethodPost, "auth/approle/role/"+role+"/secret-id", nil)["secret_id"]
	return p.login("auth/approle/login", map[string]any{"role_id": id, "secret_id": secretID})
}

func (p *programs) jwt(role string) string {
	return p.login("auth/team/jwt/login", map[string]any{"role": role, "jwt": p.sign(map[string]any{"sub": "job", "aud": "coffer"})})
}

func (p *programs) password(user string) string {
	return p.login("auth/userpass/login/"+user, map[string]any{"password": "pass-" + user})
}

func (p *programs) kubernetes(role, namespace, account string) string {
	return p.login("auth/kubernetes/login", map[string]any{"role": role, "jwt": p.sign(map[string]any{
		"sub": "system:serviceaccount:" + namespace + ":" + account, "iss": "kubernetes/serviceaccount",
		"kubernetes.io/serviceaccount/namespace": namespace, "kubernetes.io/serviceaccount/service-account.name": account,
		"kubernetes.io/serviceaccount/service-account.uid": "uid-1", "kubernetes.io/serviceaccount/secret.name": "x",
	})})
}

func (p *programs) status(who, token, method, path string, want int) {
	p.t.Helper()
	if token == "" {
		p.t.Errorf("%s could not sign in", who)
		return
	}
	if got, answer := p.s.Do(method, path, token, nil); got != want {
		p.t.Errorf("%s: %s %s: status %d, want %d: %v", who, method, path, got, want, answer["errors"])
	}
}
