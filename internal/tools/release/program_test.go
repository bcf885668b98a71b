package main

import (
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// What the environment or a setting of go env could slip into a binary is kept
// out, or refused.
func TestCheckSettings(t *testing.T) {
	good := func() *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: module}, Settings: []debug.BuildSetting{
			{Key: "-buildmode", Value: "exe"},
			{Key: "-compiler", Value: "gc"},
			{Key: "-tags", Value: "x"},
			{Key: "-trimpath", Value: "true"},
			{Key: "DefaultGODEBUG", Value: "a=1"},
			{Key: "CGO_ENABLED", Value: "0"},
			{Key: "GOOS", Value: "linux"},
			{Key: "GOARCH", Value: "arm64"},
			{Key: "GOARM64", Value: "v8.0"},
		}}
	}
	p := platform{"linux", "arm64"}
	if err := checkSettings(good(), p, "x"); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*debug.BuildInfo){
		"built with GOEXPERIMENT=arenas": func(i *debug.BuildInfo) {
			i.Settings = append(i.Settings, debug.BuildSetting{Key: "GOEXPERIMENT", Value: "arenas"})
		},
		"built with CGO_ENABLED=1": func(i *debug.BuildInfo) { i.Settings[5].Value = "1" },
		"built without -trimpath":  func(i *debug.BuildInfo) { i.Settings = slices.Delete(i.Settings, 3, 4) },
		"is of example.com":        func(i *debug.BuildInfo) { i.Main.Path = "example.com" },
		"example.com/m is replaced": func(i *debug.BuildInfo) {
			i.Deps = []*debug.Module{{Path: "example.com/m", Replace: &debug.Module{Path: "../m"}}}
		},
	} {
		info := good()
		change(info)
		if err := checkSettings(info, p, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	env := buildEnvironment([]string{"PATH=/bin", "GOFLAGS=-race", "GOEXPERIMENT=arenas", "GOAMD64=v4", "GOPROXY=direct", "GODEBUG=x=1"}, p)
	if got := strings.Join(env, " "); !strings.HasPrefix(got, "PATH=/bin GOPROXY=direct CGO_ENABLED=0 GOOS=linux GOARCH=arm64 ") ||
		strings.Contains(got, "race") || strings.Contains(got, "arenas") || strings.Contains(got, "v4") {
		t.Errorf("the environment is %s", got)
	}
}
