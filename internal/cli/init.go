package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/providers/sops"
	"github.com/cofferhq/coffer/state"
)

const (
	configFile = "coffer.hcl"
	rulesFile  = ".sops.yaml"
	ignoreFile = ".gitignore"
)

func initCommand(inv *invocation) *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "start a project, or join one",
		Description: `In an empty folder: writes a starter coffer.hcl with a project id of its own,
.sops.yaml with your public key as the first recipient, .gitignore lines, and a
fingerprint key. Where a project exists it prints your public key and the steps
left to join. An age identity is made where the sops tool looks for one, if you
have none. Nothing that exists is changed.`,
		UsageText: `coffer init
coffer -chdir new-project init`,
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runInit(c.Context, inv)
		},
	}
}

// initReport is what init did, for people and as JSON.
type initReport struct {
	FormatVersion int      `json:"format_version"`
	Project       string   `json:"project,omitempty"`
	Existing      bool     `json:"existing"`
	Created       []string `json:"created"`
	Recipient     string   `json:"recipient"`
	Next          []string `json:"next"`
	// Backend is what was found out about the store of a shared state.
	Backend *backendReport `json:"backend,omitempty"`
}

func runInit(ctx context.Context, inv *invocation) error {
	here, err := inv.look()
	if err != nil {
		return err
	}
	r := &initReport{FormatVersion: 1, Existing: here.configured && here.readers, Project: here.project, Created: []string{}}
	if err := inv.initIdentity(r); err != nil {
		return err
	}
	if err := inv.initProject(r, here); err != nil {
		return err
	}
	if err := inv.initBackend(ctx, r, &here); err != nil {
		return err
	}
	if err := inv.initIgnore(r); err != nil {
		return err
	}
	if err := inv.initFingerprintKey(r, here); err != nil {
		return err
	}
	if err := inv.initNext(r, here); err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(r)
	}
	return r.print(inv.Out)
}

// initFound is what init finds in the folder.
type initFound struct {
	configured bool // there is a *.hcl file
	readers    bool // something says who reads the files, or might
	project    string
	folders    []string // of sops providers without recipients
	recipients []string // of those that list them
	state      string   // where the state is, or would be
	shared     bool     // a backend block keeps it elsewhere
	kept       bool     // and there it is
}

// look finds out how far the project is. A configuration that cannot be read
// yet keeps nobody from joining.
func (inv *invocation) look() (initFound, error) {
	files, err := inv.configFiles(nil)
	if err != nil {
		return initFound{}, err
	}
	files = slices.DeleteFunc(files, empty)
	here := initFound{configured: len(files) > 0, state: inv.statePath(""), folders: []string{sops.DefaultPath}}
	_, err = os.Lstat(inv.path(rulesFile))
	here.readers = !errors.Is(err, fs.ErrNotExist) && !empty(inv.path(rulesFile))
	if !here.configured {
		return here, nil
	}
	quiet := *inv
	quiet.Err = io.Discard
	cfg, blocks, err := quiet.loadConfig()
	if err != nil {
		here.readers = true // it may say so in what cannot be read
		return here, nil
	}
	here.project, here.state, here.folders = cfg.Settings.Project, inv.statePath(cfg.Settings.StatePath), nil
	here.shared = cfg.Settings.Backend != nil
	for _, b := range blocks.providers {
		c, ok := b.config.(*sops.Config)
		switch {
		case !ok:
		case len(c.Recipients.All)+len(c.Recipients.ByEnvironment) > 0:
			here.readers = true
			here.recipients = append(here.recipients, c.Recipients.All...)
			for _, list := range c.Recipients.ByEnvironment {
				here.recipients = append(here.recipients, list...)
			}
		default:
			here.folders = append(here.folders, cmp.Or(c.Path, sops.DefaultPath))
		}
	}
	here.readers = here.readers || len(here.folders) == 0
	return here, nil
}

// initIdentity finds the person's public key, and makes one where there is no
// identity at all.
func (inv *invocation) initIdentity(r *initReport) error {
	var err error
	if r.Recipient, err = sops.Recipient(inv.Getenv); err == nil {
		return nil
	}
	path := sops.DefaultKeyFile(inv.Getenv)
	if path == "" {
		return fmt.Errorf("no place for an age identity: set HOME, or SOPS_AGE_KEY_FILE to a file with one")
	}
	// An identity that is there and cannot be used is for the person to mend.
	for _, name := range []string{"SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_FILE"} {
		if inv.Getenv(name) != "" {
			return fmt.Errorf("%s is set, and: %w", name, err)
		}
	}
	if _, statErr := os.Lstat(path); !errors.Is(statErr, fs.ErrNotExist) {
		return err
	}
	if r.Recipient, err = sops.NewIdentity(path, inv.Now()); err != nil {
		return err
	}
	r.Created = append(r.Created, path)
	return nil
}

// initProject writes the configuration and the list of readers, each where
// there is none.
func (inv *invocation) initProject(r *initReport, here initFound) error {
	var files []struct{ name, content string }
	if !here.readers {
		quoted := make([]string, len(here.folders))
		for i, f := range here.folders {
			quoted[i] = regexp.QuoteMeta(f)
		}
		folders := strings.Join(quoted, "|")
		if len(quoted) > 1 {
			folders = "(" + folders + ")"
		}
		files = append(files, struct{ name, content string }{rulesFile, fmt.Sprintf(starterRules, folders, r.Recipient)})
	}
	if !here.configured {
		random := make([]byte, 4)
		if _, err := io.ReadFull(inv.Random, random); err != nil {
			return err
		}
		name, err := projectName(inv.dir())
		if err != nil {
			return err
		}
		r.Project = name + "-" + hex.EncodeToString(random)
		files = append(files, struct{ name, content string }{configFile, fmt.Sprintf(starterConfig, r.Project, name)})
	}
	for _, f := range files {
		if err := createFile(inv.path(f.name), f.content); err != nil {
			return err
		}
		r.Created = append(r.Created, f.name)
	}
	return nil
}

// projectName makes the first half of a project id of the folder's name.
func projectName(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(filepath.Base(abs)), "-")
	name = strings.TrimLeft(name, "-0123456789")
	name = strings.TrimRight(name[:min(len(name), 40)], "-")
	if name == "" {
		return "project", nil
	}
	return name, nil
}

// createFile writes a new file, whole or not at all. One that exists is an
// error matching fs.ErrExist, unless it is empty: that is what a full disk
// leaves of a file.
func createFile(path, content string) error {
	info, err := durable.Check(durable.OS(), path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Size() > 0:
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	return durable.Replace(durable.OS(), path, []byte(content), 0o644, nil)
}

// empty reports whether path is a file with nothing in it.
func empty(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// initIgnore adds the lines that .gitignore lacks. The state is committed; what
// an apply keeps beside it, the audit log of this machine, plans and keys are not.
func (inv *invocation) initIgnore(r *initReport) error {
	path := inv.path(ignoreFile)
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	have := strings.Split(string(content), "\n")
	var missing []string
	for _, l := range ignoreLines() {
		if !slices.Contains(have, l) {
			missing = append(missing, l)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.Write(content)
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\n")) {
		b.WriteByte('\n')
	}
	b.WriteString(strings.Join(missing, "\n") + "\n")
	if err := durable.Replace(durable.OS(), path, b.Bytes(), 0o644, nil); err != nil {
		return err
	}
	r.Created = append(r.Created, ignoreFile)
	return nil
}

func ignoreLines() []string {
	lines := []string{
		"# Coffer: the state is committed; what an apply keeps beside it, the audit log of",
		"# this machine, plans and keys are not.",
	}
	lines = append(lines, state.GitIgnore(stateFile)...)
	return append(lines, ".coffer.lock", "audit.log", "audit.log.lock", "*.plan", keyFile)
}

// initFingerprintKey makes the key that supplied values are compared with, but
// only where there is no state: a team has one key, and a second one would
// make every comparison fail.
func (inv *invocation) initFingerprintKey(r *initReport, here initFound) error {
	if inv.Getenv(keyVariable) != "" {
		return nil
	}
	if _, err := os.Lstat(here.state); err == nil || here.kept {
		return nil
	}
	switch _, err := fingerprint.Create(inv.path(keyFile), inv.Random); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	r.Created = append(r.Created, keyFile)
	return nil
}

// initNext says what a person does now.
func (inv *invocation) initNext(r *initReport, here initFound) error {
	if !r.Existing {
		r.Next = append(r.Next,
			"Edit "+configFile+", then run coffer plan and coffer apply.",
			"Keep a copy of your age identity in a safe place: without it nobody but the other recipients reads the files.")
		return nil
	}
	rules, err := os.ReadFile(inv.path(rulesFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Contains(rules, []byte(r.Recipient)) && !slices.Contains(here.recipients, r.Recipient) {
		r.Next = append(r.Next, "Give your public key to somebody who is in: they add it to the recipients ("+rulesFile+
			", or the provider block), run coffer apply and commit. Then pull.")
	}
	if _, err := fingerprint.Load(inv.path(keyFile)); err != nil && inv.Getenv(keyVariable) == "" {
		r.Next = append(r.Next, "Get the team's fingerprint key from them, as you would a password: put it into "+keyFile+" (mode 0600) or "+keyVariable+
			". Without it plans work, and supplied values are not compared.")
	}
	if project := inv.stateProject(here.state); project != "" && here.project != "" && project != here.project {
		r.Next = append(r.Next, fmt.Sprintf("The state %s is of project %q and the configuration of %q: take the state of this project, or correct the project in the coffer block.",
			here.state, project, here.project))
	}
	if len(r.Next) == 0 {
		r.Next = append(r.Next, "Nothing: you are in. Run coffer plan.")
	}
	return nil
}

// stateProject returns the project that a state says it is of, "" where there
// is no state that can be read; plan says what is wrong with one.
func (inv *invocation) stateProject(path string) string {
	data, _, err := durable.Read(durable.OS(), path, maxInput)
	if err != nil {
		return ""
	}
	snapshot, err := state.Decode(data)
	if err != nil {
		return ""
	}
	return snapshot.Project
}

func (r *initReport) print(out io.Writer) error {
	w := render.NewWriter(out, render.Style{})
	if r.Existing {
		fmt.Fprint(w, "There is a project here already.\n")
	} else {
		fmt.Fprintf(w, "The project is %s.\n", r.Project)
	}
	for _, f := range r.Created {
		fmt.Fprintf(w, "  wrote %s\n", f)
	}
	if r.Backend != nil {
		r.Backend.print(w)
	}
	fmt.Fprintf(w, "Your public key is %s\n\nNext:\n", r.Recipient)
	for i, step := range r.Next {
		fmt.Fprintf(w, "  %d. %s\n", i+1, step)
	}
	return w.Err()
}

// starterRules is .sops.yaml; %s are the folders and the first recipient.
const starterRules = `# Who reads the files below the folder: one age public key for each person and
# machine. After a change run coffer apply, which encrypts for all of them.
creation_rules:
  - path_regex: ^%s/
    age:
      - %s
`

// starterConfig is coffer.hcl; %s are the project id and the app.
const starterConfig = `coffer {
  project = "%s" # marks what is ours: never change it
}

provider "sops" {
  path = "secrets" # who reads it: .sops.yaml
}

environment "dev" {
  store = sops
}

app "%s" {
  environments = ["dev"]

  secret "session_key" {
    value = random_hex({ bytes = 32 })
  }

  secret "db" {
    fields = {
      password = random_password({ length = 32 })
      url      = "postgres://app:${urlencode(self.password)}@localhost/app"
    }
  }
}
`
