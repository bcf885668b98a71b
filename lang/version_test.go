package lang

import "testing"

func TestVersionSatisfies(t *testing.T) {
	for _, c := range []struct {
		version, constraint string
		want                bool
	}{
		{"0.2.0", "0.2.0", true},
		{"0.2.0", "= 0.2", true},
		{"v0.2.0", "!= 0.2.0", false},
		{"0.2.1", "> 0.2.0", true},
		{"0.2.0", "> 0.2.0", false},
		{"0.10.0", ">= 0.9", true},
		{"0.2.0", "<= 0.2.0", true},
		{"0.2.0", "< 0.2.0", false},
		{"0.3.0", "~> 0.2", true},
		{"1.0.0", "~> 0.2", false},
		{"0.2.9", "~> 0.2.1", true},
		{"0.3.0", "~> 0.2.1", false},
		{"0.2.0", "~> 0.2.1", false},
		{"2.0.0", "~> 1", false},
		{"1.9.0", "~> 1", true},
		{"0.2.0-rc1", ">= 0.2.0", true},
		{"0.2.0+dirty", "= 0.2.0", true},
		{"0.2.0", ">= 0.1.0, < 0.2.0", false},
		{"0.2.0", ">=0.1.0,<1", true},
		{"", ">= 9", true},
		{"devel", ">= 9", true},
	} {
		got, err := versionSatisfies(c.version, c.constraint)
		if err != nil || got != c.want {
			t.Errorf("%q meets %q: got %t, %v, want %t", c.version, c.constraint, got, err, c.want)
		}
	}
	for _, constraint := range []string{"", "x", ">", "=> 1", "1.2.3.4", "1,", "~~ 1", ">= -1"} {
		if _, err := versionSatisfies("0.2.0", constraint); err == nil {
			t.Errorf("%q is no constraint, and no error says so", constraint)
		}
	}
}
