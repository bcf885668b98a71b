package main

import (
	"os"
	"path/filepath"
	"testing"
)

// stub is a program of no size that answers what release asks of Coffer, so
// that everything but the real program is tested within seconds.
var stub = map[string]string{
	"go.mod": "module github.com/cofferhq/coffer\n\ngo 1.26.0\n",
	"main.go": `package main

import (
	"os"

	"github.com/cofferhq/coffer/internal/cli"
)

func main() { cli.Main(os.Args[1:]) }
`,
	"internal/cli/cli.go": `package cli

import "os"

var linkedVersion, linkedCommit = "", ""

func Main(args []string) {
	switch args[0] {
	case "version":
		if linkedVersion == "" {
			linkedVersion = "0.1.0-dev+" + linkedCommit
		}
		println("to stderr")
		os.Stdout.WriteString("{\"version\":\"" + linkedVersion + "\",\"revision\":\"" + linkedCommit + "\"}\n")
	case "completion":
		os.Stdout.WriteString("# " + args[1] + "\n")
	case "help":
		if args[1] != "-man" || os.Mkdir(args[2], 0o755) != nil ||
			os.WriteFile(args[2]+"/coffer-plan.1", []byte(".TH COFFER-PLAN 1\n"), 0o600) != nil ||
			os.WriteFile(args[2]+"/coffer.1", []byte(".TH COFFER 1\n"), 0o600) != nil {
			os.Exit(1)
		}
	}
}
`,
	"README.md": "# Coffer\n",
	"LICENSE":   "Apache License\n",
}

func writeStub(t *testing.T, dir string) {
	t.Helper()
	for name, text := range stub {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
