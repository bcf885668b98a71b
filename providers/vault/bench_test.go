package vault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
)

// BenchmarkInspectScan is what one scan of 20,000 secrets costs here, the
// server's own time left out.
func BenchmarkInspectScan(b *testing.B) {
	const secrets = 20_000
	var keys, infos, paths []string
	for i := range secrets {
		key := fmt.Sprintf("app-%d/production/secret-%d", i%200, i)
		paths = append(paths, "shop/"+key)
		keys = append(keys, fmt.Sprintf("%q", key))
		infos = append(infos, fmt.Sprintf(`%q:{"cas_required":false,"created_time":"2026-11-24T10:06:27Z","current_metadata_version":1,"current_version":1,`+
			`"custom_metadata":{"coffer_project":"shop","coffer_address":"0123456789abcdef","coffer_labels":"team","team":"core"},"delete_version_after":"0s","max_versions":0,`+
			`"metadata_cas_required":false,"oldest_version":0,"updated_time":"2026-11-24T10:06:27Z","versions":{"1":{"created_time":"2026-11-24T10:06:27Z","deletion_time":"","destroyed":false}}}`, key))
	}
	body := []byte(`{"request_id":"1","data":{"key_info":{` + strings.Join(infos, ",") + `},"keys":[` + strings.Join(keys, ",") + `]}}`)
	d, err := Open(providers.Env{Getenv: func(name string) string { return map[string]string{"VAULT_TOKEN": "t"}[name] }, Now: fixedNow}, &Config{Address: "https://vault.invalid"})
	if err != nil {
		b.Fatal(err)
	}
	d.client.api = answering(b, fixed{200, body})
	d.seen = &mount{exists: true, version: "2"}
	b.ReportMetric(float64(len(body)), "answer-bytes")
	b.ReportAllocs()
	for b.Loop() {
		found, err := d.Inspect(b.Context(), paths)
		if err != nil || len(found) != secrets {
			b.Fatalf("%d answers, %v", len(found), err)
		}
	}
}

func fixedNow() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }
