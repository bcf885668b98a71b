package render_test

import (
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// clusterChanges are what goes to a cluster: Secrets, sealed ones, what an
// operator fetches, and restarts.
func clusterChanges() *planner.Plan {
	made := func(kind, name, path string, action planner.Action, reason planner.Reason) planner.Change {
		c := change(action, reason, "checkout", "production", name)
		c.Address.Kind = kind
		c.Location = planner.Location{Provider: "kubernetes.prod", Kind: addr.KindSecret, Path: path}
		c.Fields = map[string]planner.FieldChange{"DATABASE_URL": set("secret.db.dsn"), "LOG_LEVEL": set(`"info"`)}
		return c
	}
	object := func(a addr.Address, kind, path string, action planner.Action, reason planner.Reason, before, after string) planner.Change {
		return planner.Change{
			Address: a, Action: action, Reason: reason, Role: state.RoleObject, Before: before, After: after,
			Location: planner.Location{Provider: "kubernetes.prod", Kind: kind, Path: path},
		}
	}
	const ns = "checkout-production/"
	env := made(addr.KindKubernetesSecret, "env", ns+"checkout-env", planner.Update, planner.ReasonSourceChanged)
	env.VersionFrom, env.Entry, env.Generation = "812", "812", 5
	web := made(addr.KindSealedSecret, "web", "sealedsecrets/"+ns+"checkout-web", planner.Update, planner.ReasonReencrypted)
	web.VersionFrom, web.Entry, web.Generation, web.Detail = "77", "77", 2, "the key or the scope that it is sealed for is another"
	web.Envelope = "sha256:0f1e2d3c strict"
	fixed := made(addr.KindKubernetesSecret, "fixed", ns+"checkout-fixed", planner.Conflict, planner.ReasonSourceChanged)
	fixed.Detail = "it is immutable, so nobody can change its value: give it another name, which makes a new one and lets the old one go, or delete it by hand and apply again"
	ext := addr.Secret("checkout", "production", "jobs")
	ext.Kind = addr.KindExternalSecret
	provider := func(kind, path string) addr.Address { return addr.ProviderObject("kubernetes.prod", kind, path) }
	rollout := object(provider(planner.KindRollout, ns+"deployment/api"), planner.KindRollout, ns+"deployment/api", planner.Update, planner.ReasonSourceChanged,
		env.Address.String()+" = 4\n", env.Address.String()+" = 5\n")
	rollout.Detail = "its programs are restarted"
	p := newPlan(3, fixed, env, web,
		object(ext, "externalsecret", ns+"checkout-jobs", planner.Create, planner.ReasonNew, "", "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\n"),
		rollout,
		object(provider("secretstore", ns+"checkout-jobs"), "secretstore", ns+"checkout-jobs", planner.Create, planner.ReasonNew, "", "kind: SecretStore\n"),
		object(provider("serviceaccount", ns+"checkout-jobs"), "serviceaccount", ns+"checkout-jobs", planner.Create, planner.ReasonNew, "", "kind: ServiceAccount\n"),
	)
	p.Notes = append(p.Notes, planner.Note{
		Address: env.Address, Reason: planner.ReasonNotRestarted,
		Text: "used by cronjob checkout-production/report, which go on with the old value until they are restarted; a rollout list in the block does that",
	})
	return p
}
