//go:build servers

package signin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// signer makes signed tokens with a key of its own.
type signer struct{ key *ecdsa.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) publicPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (s signer) sign(claims map[string]any) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := part(map[string]any{"alg": "ES256", "typ": "JWT", "kid": "one"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	r, z, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), z.FillBytes(make([]byte, 32))...))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// identityProvider is a small OIDC provider: whoever asks is kim, and consents
// unless deny is set.
type identityProvider struct {
	*httptest.Server
	signer

	mu     sync.Mutex
	deny   bool
	nonces map[string]string // by code
}

func newIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	p := &identityProvider{signer: newSigner(t), nonces: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		point, err := p.key.PublicKey.Bytes()
		if err != nil {
			t.Error(err)
			return
		}
		text := base64.RawURLEncoding.EncodeToString
		reply(w, map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256", "x": text(point[1:33]), "y": text(point[33:])}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *identityProvider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := r.URL.Query()
	answer := url.Values{"state": {asked.Get("state")}}
	if p.deny {
		answer.Set("error", "access_denied")
		answer.Set("error_description", "kim said no")
	} else {
		code := rand.Text()
		p.nonces[code] = asked.Get("nonce")
		answer.Set("code", code)
	}
	http.Redirect(w, r, asked.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (p *identityProvider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	nonce, ok := p.nonces[r.FormValue("code")]
	delete(p.nonces, r.FormValue("code"))
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	now := time.Now()
	reply(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": p.sign(map[string]any{
		"iss": p.URL, "aud": "coffer", "sub": "kim", "nonce": nonce, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})})
}

// cluster is the TokenReview endpoint of a Kubernetes API server, which knows
// the tokens of its own signer.
type cluster struct {
	*httptest.Server
	signer
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{signer: newSigner(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct{ Token string }
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || r.Header.Get("Authorization") != "Bearer reviewer" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		status := map[string]any{"authenticated": false, "error": "no such token"}
		if name, ok := c.account(review.Spec.Token); ok {
			status = map[string]any{"authenticated": true, "user": map[string]any{
				"username": "system:serviceaccount:shop:" + name, "uid": "uid-" + name,
				"groups": []string{"system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"},
			}}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
	})
	c.Server = httptest.NewTLSServer(mux)
	t.Cleanup(c.Close)
	return c
}

// of is the token of a service account in the namespace shop.
func (c *cluster) of(name string) string {
	now := time.Now()
	return c.sign(map[string]any{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:" + name, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": name, "uid": "uid-" + name}},
	})
}

// account checks a token and returns whose it is.
func (c *cluster) account(token string) (string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", false
	}
	var claims struct{ Sub string }
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(data, &claims) != nil {
		return "", false
	}
	return strings.CutPrefix(claims.Sub, "system:serviceaccount:shop:")
}

func (c *cluster) caPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))
}

// freePort returns a port of localhost that nobody uses now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
