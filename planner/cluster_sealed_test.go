package planner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

const (
	sealedPath  = "sealedsecrets/shop-dev/shop-sealed"
	resealed    = "update " + sealed + " reencrypted reads"
	sealedSaved = "update " + sealed + " source_changed"
)

// renewed is the controller with another key.
func renewed(_ *plannertest.World, k *memory.World) {
	k.SetSealing(providers.Sealing{Envelope: "key-2"})
}

func TestSealedSecrets(t *testing.T) {
	just := app(loginBlock + sealedBlock(restart))
	more := way("sealed_secret", "sealed", restart)
	for name, s := range map[string]story{
		"a value changes: that field alone is sealed": {
			start: app(loginBlock + sec("other", "value = random_hex()") + with(sealedBlock(restart), "LEVEL", "OTHER = secret.other, LEVEL")), opts: rotated(),
			want: []string{sealedSaved, rotate, restarted},
			check: func(t *testing.T, w *plannertest.World, k *memory.World) {
				if k.Calls("patch") != 1 || k.Reads() != 0 || w.Stores["memory"].Reads() != 0 {
					t.Errorf("%d patches, %d reads", k.Calls("patch"), k.Reads()+w.Stores["memory"].Reads())
				}
			},
		},
		"the key is renewed: all is sealed anew once, and nothing restarted": {start: just, do: renewed, want: []string{resealed}, says: "the key or the scope"},
		"the key is renewed while a value changes": {
			start: just, do: renewed, opts: rotated(), want: []string{sealedSaved, rotate, restarted},
		},
		"the key is renewed, of an immutable one": {start: app(loginBlock + sealedBlock("immutable = true")), do: renewed, want: []string{resealed}},
		"the scope changes":                       {start: just, hcl: app(loginBlock + sealedBlock(restart, `scope = "cluster-wide"`)), want: []string{resealed}},
		"the standard scope is written":           {start: just, hcl: app(loginBlock + sealedBlock(restart, `scope = "strict"`))},
		"labels change": {
			start: just, hcl: app(loginBlock + sealedBlock(restart, `labels = { a = "b" }`)), want: []string{"update " + sealed + " metadata_changed"},
		},
		"somebody else wrote it": {
			start: just, do: func(_ *plannertest.World, k *memory.World) {
				k.Edit(sealedPath, secret.Object(map[string]secret.Value{"DB": secret.String("x")}), "mallory")
			},
			want: []string{"update " + sealed + " changed_outside reads", restarted}, says: "mallory",
		},
		"somebody deleted it": {
			start: just, do: func(_ *plannertest.World, k *memory.World) { k.Remove(sealedPath, 0) },
			want: []string{"create " + sealed + " missing reads", restarted},
		},
		"it moves: made at its new place, and not read at the old one": {
			start: just, hcl: app(loginBlock + sealedBlock(restart, `namespace = "other"`)),
			want: []string{"create " + sealed + " moved reads", "update " + rollout + " source_changed", "note " + sealed + " moved"},
			left: []string{"delete " + sealed + " moved"},
			check: func(t *testing.T, w *plannertest.World, k *memory.World) {
				w.Apply()
				expect(t, w.Plan())
				if got := strings.Join(k.Paths(), " "); got != "sealedsecrets/other/shop-sealed" {
					t.Errorf("there is %s", got)
				}
			},
		},
		"it moves to where something of others is": {
			start: just, hcl: app(loginBlock + sealedBlock(restart, `namespace = "other"`)),
			do: func(_ *plannertest.World, k *memory.World) {
				k.Edit("sealedsecrets/other/shop-sealed", secret.String("x"), "eve")
			},
			want: []string{"error the new place of " + sealed + " is taken"}, left: []string{"-"},
		},
		"another word makes it a plain one": {
			start: app(loginBlock + way("sealed_secret", "env")), hcl: app(loginBlock + envBlock()),
			want: []string{"create " + env + " new reads", `delete app.shop.sealed_secret.env["dev"] removed`},
		},
		"the block goes": {start: just, hcl: app(loginBlock), want: []string{"delete " + sealed + " removed", "forget " + rollout + " removed"}},
		"a key goes": {
			start: just, hcl: app(loginBlock + with(more, `, LEVEL = "info"`, "")), want: []string{sealedSaved, restarted},
		},
		"a protected one loses a key while the key is renewed": {
			start: app(loginBlock + sealedBlock("protect = true")), hcl: app(loginBlock + with(sealedBlock("protect = true"), `, LEVEL = "info"`, "")), do: renewed,
			want: []string{resealed, "error " + sealed + " is protected"}, left: []string{"-"},
		},
		"the certificate is not to be had": {
			start: just, do: func(_ *plannertest.World, k *memory.World) {
				k.Inject(memory.Fault{Op: "sealing", Code: providers.Unavailable})
			},
			opts: rotated(), want: []string{"unknown " + sealed + " unreachable", rotate}, says: "what it is to be sealed with cannot be told",
			left: []string{"unknown " + sealed + " unreachable"},
		},
		"the certificate ends soon: one warning": {
			start: app(loginBlock + sealedBlock() + way("sealed_secret", "second")),
			do: func(w *plannertest.World, k *memory.World) {
				k.SetSealing(providers.Sealing{Envelope: "key-1", Expires: w.Now.AddDate(0, 0, 20)})
			},
			want: []string{"error the certificate that kubernetes seals with ends on 2026-03-21"}, // a warning
			left: []string{"error the certificate that kubernetes seals with ends on 2026-03-21"},
		},
	} {
		t.Run(name, s.run)
	}
}

func TestDriftOfSealedSecrets(t *testing.T) {
	w := cluster(t)
	k := w.Stores["kubernetes"]
	w.Configure(allWays)
	w.Apply()
	if got := w.Drift().Drift; len(got) != 0 {
		t.Fatalf("drift at once: %+v", got)
	}
	// Nobody can read it, so nobody compares it.
	l := w.Look()
	v := planner.Verifier{Stores: l.Stores, Key: w.Key}
	found, err := v.Verify(context.Background(), l.Snapshot, func(addr.Address) bool { return true })
	if err != nil || len(found) != 0 {
		t.Errorf("verified %v, %v", found, err)
	}
	renewed(w, k)
	k.SetDocument(providers.ObjectRef{Kind: memory.KindRollout, Path: "shop-dev/deployment/api"}, "by = hand\n")
	if got := w.Drift().Drift; len(got) != 0 {
		t.Errorf("a new key and a restart by hand are drift: %+v", got)
	}
	k.Edit(sealedPath, secret.Object(map[string]secret.Value{"DB": secret.String("x")}), "mallory")
	k.SetDocument(providers.ObjectRef{Kind: memory.KindServiceAccount, Path: "shop-dev/shop-ext"}, "account: shop-dev/shop-ext\nmore: by hand\n")
	var kinds []string
	for _, d := range w.Drift().Drift {
		kinds = append(kinds, string(d.Kind)+" "+d.Address.String())
	}
	if got := strings.Join(kinds, "\n"); got != "changed "+sealed+"\ndocument provider.kubernetes.serviceaccount[\"shop-dev/shop-ext\"]" {
		t.Errorf("drift: %s", got)
	}
}

func TestUnsynced(t *testing.T) {
	w := cluster(t)
	k := w.Stores["kubernetes"]
	w.Configure(allWays)
	l := w.Look()
	ask := func() (out []string) {
		l = w.Look()
		for _, d := range planner.Unsynced(context.Background(), l.Desired, l.Snapshot, l.Stores) {
			out = append(out, string(d.Kind)+" "+d.Address.String()+": "+d.Detail)
		}
		return out
	}
	since := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	k.SetConditions(
		providers.Condition{Kind: memory.KindExternalSecret, Path: "shop-dev/shop-ext", Reason: "SecretSyncedError", Text: "permission denied", At: since},
		providers.Condition{Kind: "secret", Path: sealedPath, OK: true, Stale: true},
		providers.Condition{Kind: memory.KindSecretStore, Path: "shop-dev/shop-ext", OK: true},
	)
	if got := ask(); len(got) != 0 {
		t.Errorf("of what was never applied: %q", got)
	}
	w.Apply()
	got := strings.Join(ask(), "\n")
	want := "not_synced " + ext + ": its controller says SecretSyncedError: permission denied\n" +
		"not_synced " + sealed + ": its controller has not looked at what was last written"
	if got != want {
		t.Errorf("got %s", got)
	}
	k.Inject(memory.Deny("conditions", ""))
	if got := strings.Join(ask(), "\n"); !strings.HasPrefix(got, "unknown provider.kubernetes") {
		t.Errorf("got %s", got)
	}
}

// TestOrphansOfACluster: what no state has is only told of, and goes where a
// removed block names it.
func TestOrphansOfACluster(t *testing.T) {
	w := cluster(t)
	w.Configure(app(loginBlock + envBlock() + sealedBlock()))
	w.Apply()
	w.State.Lose()
	w.Configure(app(loginBlock))
	expect(t, w.Plan(), "adopt "+login+" state_lost",
		"note provider.kubernetes.secret[\""+sealedPath+"\"] orphan", "note provider.kubernetes.secret[\"shop-dev/shop-env\"] orphan")
	w.Configure(app(loginBlock) + "removed {\n  from = app.shop.kubernetes_secret.env\n  lifecycle {\n    destroy = true\n  }\n}\n")
	expect(t, w.Plan(), "delete "+env+" orphan", "adopt "+login+" state_lost", "note provider.kubernetes.secret[\""+sealedPath+"\"] orphan")
	w.Apply()
	expect(t, w.Plan(), "note provider.kubernetes.secret[\""+sealedPath+"\"] orphan")
}
