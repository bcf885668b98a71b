package plannertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
)

// clusterStories are about a cluster beside the store: its Secrets, sealed ones,
// what an operator fetches, and the programs that are restarted.
func clusterStories() []crashStory {
	knobs := memory.Counting()
	knobs.Exports = true
	key := "app.shop.secret.key[\"dev\"]"
	ways := func(extra string) string {
		body := "    data = { KEY = secret.key, LEVEL = \"info\" }\n    rollout = [deployment(\"shop-dev\", \"api\")]\n" + extra
		return block("key", "value = random_hex({ bytes = 8 })") +
			"  kubernetes_secret \"env\" {\n" + body + "  }\n  sealed_secret \"seal\" {\n" + body + "  }\n  external_secret \"ext\" {\n" + body + "  }\n"
	}
	const env, seal = "kubernetes shop-dev/shop-env", "kubernetes sealedsecrets/shop-dev/shop-seal"
	all := shop(onlyHere, ways(""))
	delivered := func(v map[string]string) error {
		for name, text := range v {
			if strings.HasPrefix(name, "kubernetes ") && !strings.Contains(text, "KEY="+v[mKey]+"\n") {
				return fmt.Errorf("%s is not made of the key", name)
			}
		}
		return nil
	}
	alone := func(v map[string]string) error {
		if len(v) != 1 {
			return errors.New("something is left")
		}
		return nil
	}
	return []crashStory{
		{name: "all ways to a cluster", knobs: knobs, cluster: true, hcl: all, check: delivered},
		{
			name: "all ways to a cluster, another value", knobs: knobs, cluster: true, start: all, check: delivered,
			opts: []Option{Settle(key, planner.SettleRotate)}, replaces: []string{mKey, env, seal},
		},
		{
			name: "all ways to a cluster, a first restart", knobs: knobs, cluster: true, check: delivered,
			start: strings.ReplaceAll(all, "    rollout = [deployment(\"shop-dev\", \"api\")]\n", ""), hcl: all,
			opts: []Option{Settle(key, planner.SettleRotate)}, replaces: []string{mKey, env, seal},
		},
		{
			name: "all ways to a cluster, another key and namespace", knobs: knobs, cluster: true, start: all, check: delivered,
			hcl: shop(onlyHere, ways("    namespace = \"other\"\n")), removes: []string{env, seal},
			byHand: func(w *World) {
				w.Stores["kubernetes"].SetSealing(providers.Sealing{Envelope: "key-2"})
			},
		},
		{
			name: "all ways to a cluster go", knobs: knobs, cluster: true, start: all, hcl: shop(onlyHere, block("key", "value = random_hex({ bytes = 8 })")),
			removes: []string{env, seal}, check: alone,
		},
	}
}

// withCluster adds a cluster that the story's end has to agree with.
func (s crashStory) withCluster(w *World, cut func(string) error) {
	knobs := memory.Cluster()
	knobs.At = cut
	w.Stores["kubernetes"], w.Knobs["kubernetes"] = memory.NewWorld("k8s-1"), knobs
	w.Stores["kubernetes"].Deploy("shop-dev/deployment/api")
}

// restarted makes sure that the programs were last started with what is there.
func (s crashStory) restarted(w *World) error {
	if !s.cluster {
		return nil
	}
	document := w.Stores["kubernetes"].Document(providers.ObjectRef{Kind: memory.KindRollout, Path: "shop-dev/deployment/api"})
	for _, e := range w.State.snapshot("test-1").Sorted() {
		line := fmt.Sprintf("%s = %d\n", e.Address, e.Generation)
		made := e.Address.Kind == "kubernetes_secret" || e.Address.Kind == "sealed_secret"
		fetched := e.Address.Name == "key" && s.removes == nil       // else nothing of it changes
		same := s.start != "" && e.Generation == 1 && document == "" // cut off before another value was made
		if (made || fetched) && !same && !strings.Contains(document, line) {
			return fmt.Errorf("the programs were last started with %q, and now it is %q", document, line)
		}
	}
	return nil
}
