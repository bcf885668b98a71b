package cli

import (
	"runtime/debug"
	"testing"
)

// The linker's word comes first, then what the Go tool recorded; a version that
// the Go tool made up without a tag is none, for required_version reads it.
func TestBuiltFrom(t *testing.T) {
	const rev = "0123456789abcdef0123456789abcdef01234567"
	checkout := func(v, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{
			Main:     debug.Module{Version: v},
			Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: rev}, {Key: "vcs.modified", Value: modified}},
		}
	}
	fetched := func(v string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: v}} }
	for name, c := range map[string]struct {
		version, commit       string
		info                  *debug.BuildInfo
		wantVersion, wantFrom string
	}{
		"a release":                   {"1.2.3", rev, fetched("(devel)"), "1.2.3", rev},
		"a release, whatever Go says": {"1.2.3", rev, checkout("v9.9.9", "true"), "1.2.3", rev},
		"make release without a tag":  {"", rev, fetched("(devel)"), "0.1.0-dev+0123456789ab", rev},
		"and with changes":            {"", rev + "+changes", fetched("(devel)"), "0.1.0-dev+0123456789ab.changes", rev + "+changes"},
		"go install of a tag":         {"", "", fetched("v0.3.1"), "0.3.1", ""},
		"go install of a branch":      {"", "", fetched("v0.3.2-0.20260102030405-0123456789ab"), "0.3.2-0.20260102030405-0123456789ab", "0123456789ab"},
		"go install without a tag":    {"", "", fetched("v0.0.0-20260102030405-0123456789ab"), "0.1.0-dev+0123456789ab", "0123456789ab"},
		"go build of a tag":           {"", "", checkout("v0.3.1", "false"), "0.3.1", rev},
		"go build with changes": {
			"", "", checkout("v0.3.2-0.20260102030405-0123456789ab+dirty", "true"),
			"0.3.2-0.20260102030405-0123456789ab+dirty", rev + "+changes",
		},
		"go build without a tag":      {"", "", checkout("v0.0.0-20260102030405-0123456789ab+dirty", "true"), "0.1.0-dev+0123456789ab.changes", rev + "+changes"},
		"go build -buildvcs=false":    {"", "", fetched("(devel)"), "0.1.0-dev", ""},
		"no build information at all": {"", "", nil, "0.1.0-dev", ""},
	} {
		v, from := builtFrom(c.version, c.commit, func() (*debug.BuildInfo, bool) { return c.info, c.info != nil })
		if v != c.wantVersion || from != c.wantFrom {
			t.Errorf("%s: %q from %q, want %q from %q", name, v, from, c.wantVersion, c.wantFrom)
		}
	}
}
