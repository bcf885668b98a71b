//go:build unix

package citest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// runner carries out the steps of action.yml as GitHub's does, as far as they
// use it: expressions in env, if and outputs, files for outputs and the path.
type runner struct {
	*machine
	workspace string
	inputs    map[string]string
	steps     map[string]map[string]string // outputs by id
}

var (
	expression = regexp.MustCompile(`\$\{\{(.*?)\}\}`)
	condition  = regexp.MustCompile(`^inputs\.([a-z-]+) != '([a-z]*)'$`)
)

// value evaluates an expression: names, with || between them.
func (r *runner) value(expr string) string {
	r.t.Helper()
	for name := range strings.SplitSeq(expr, "||") {
		parts := strings.Split(strings.TrimSpace(name), ".")
		value := ""
		switch {
		case len(parts) == 2 && parts[0] == "inputs":
			v, ok := r.inputs[parts[1]]
			if !ok {
				r.t.Errorf("there is no input %s", parts[1])
			}
			value = v
		case len(parts) == 4 && parts[0] == "steps" && parts[2] == "outputs":
			value = r.steps[parts[1]][parts[3]]
		case name == "github.token":
			value = "token-of-the-job"
		default:
			r.t.Errorf("an expression that the runner of this test does not know: %q", expr)
		}
		if value != "" {
			return value
		}
	}
	return ""
}

func (r *runner) expand(text string) string {
	return expression.ReplaceAllStringFunc(text, func(e string) string {
		return r.value(strings.TrimSpace(expression.FindStringSubmatch(e)[1]))
	})
}

// use runs the action and returns its outputs, its log and whether it succeeded.
func (r *runner) use(inputs, environ map[string]string) (outputs map[string]string, log string, ok bool) {
	r.t.Helper()
	act := one(r.t, action).docs[0]
	r.inputs, r.steps = map[string]string{}, map[string]map[string]string{}
	for name := range object(act, "inputs") {
		r.inputs[name] = strings.ReplaceAll(text(act, "inputs", name, "default"), "${{ github.token }}", "token-of-the-job")
	}
	maps.Copy(r.inputs, inputs)
	path, paths := "", filepath.Join(r.temp, "paths")
	ok = true
	for i, step := range list(act, "runs", "steps") {
		if c := text(step, "if"); c != "" {
			m := condition.FindStringSubmatch(c)
			if m == nil {
				r.t.Fatalf("a condition that the runner of this test does not know: %q", c)
			}
			if r.inputs[m[1]] == m[2] {
				continue
			}
		}
		file := filepath.Join(r.temp, "output-"+strconv.Itoa(i))
		must(r.t, os.WriteFile(file, nil, 0o600))
		env := map[string]string{
			"GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": absolute(r.t, "."), "GITHUB_OUTPUT": file, "GITHUB_PATH": paths,
			"RUNNER_TEMP": r.temp, "RUNNER_TOOL_CACHE": filepath.Join(r.home, "tools"), "PATH": path + r.environ["PATH"],
		}
		maps.Copy(env, environ)
		for name := range object(step, "env") {
			env[name] = r.expand(text(step, "env", name))
		}
		dir := filepath.Join(r.workspace, r.expand(text(step, "working-directory")))
		said, code := r.run(dir, env, "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text(step, "run"))
		log += said
		if added, err := os.ReadFile(paths); err == nil {
			path = strings.ReplaceAll(string(added), "\n", ":")
		}
		r.steps[text(step, "id")] = lastOf(read(r.t, file))
		if code != 0 {
			ok = false
			break
		}
	}
	outputs = map[string]string{}
	for name := range object(act, "outputs") {
		outputs[name] = r.expand(text(act, "outputs", name, "value"))
	}
	return outputs, log, ok
}

// lastOf reads an output file: the last of a name counts.
func lastOf(file string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(file) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		all[name] = value
	}
	return all
}

func newRunner(t *testing.T) (*runner, map[string]string) {
	t.Helper()
	s := newSite(t)
	pin := s.publish(t)
	r := &runner{machine: newMachine(t, s), workspace: t.TempDir()}
	must(t, os.MkdirAll(filepath.Join(r.workspace, "deploy/my secrets"), 0o755))
	return r, map[string]string{"version": version, "sha256": pin}
}

func with(base map[string]string, more ...string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, base)
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// What the inputs say is what coffer is asked, word for word, and what coffer
// says is what the action gives out.
func TestActionRuns(t *testing.T) {
	const outputs = "digest=sha256:d\nplan=coffer-plan/coffer.plan\nchanges=3\nexitcode=2\n"
	hostile := "  $(touch owned)\n`touch owned`\n\n; touch owned\n\"quoted\" 'too' \\ *\n-var\na=b c\nLINES\n${HOME}\n"
	for name, c := range map[string]struct {
		inputs  map[string]string
		environ map[string]string
		args    string // lines; "" for not run
		ok      bool
		says    string
		want    map[string]string // outputs
	}{
		"a plan":                        {nil, map[string]string{"FAKE_OUTPUTS": outputs}, "ci\nplan", true, "", map[string]string{"digest": "sha256:d", "plan": "coffer-plan/coffer.plan", "changes": "3", "exit-code": "2"}},
		"a plan that fails":             {nil, map[string]string{"FAKE_EXIT": "1"}, "ci\nplan", false, "", map[string]string{"digest": "", "exit-code": "1"}},
		"what could not be told":        {nil, map[string]string{"FAKE_EXIT": "3", "FAKE_OUTPUTS": "exitcode=3\n"}, "ci\nplan", false, "", map[string]string{"exit-code": "3"}},
		"drift is no failure":           {with(nil, "command", "drift"), map[string]string{"FAKE_EXIT": "2", "FAKE_OUTPUTS": "drift=4\nexitcode=2\n"}, "ci\ndrift", true, "", map[string]string{"exit-code": "2", "changes": "4"}},
		"an apply":                      {with(nil, "command", "apply", "plan-digest", "sha256:d"), nil, "ci\napply\n-plan-digest\nsha256:d", true, "", nil},
		"an apply with a name":          {with(nil, "command", "apply", "plan-digest", "sha256:d", "args", "release.plan\n-on-conflict\nskip\n"), nil, "ci\napply\n-plan-digest\nsha256:d\nrelease.plan\n-on-conflict\nskip", true, "", nil},
		"an apply without a digest":     {with(nil, "command", "apply"), nil, "", false, "apply needs plan-digest", map[string]string{"exit-code": ""}},
		"a digest for a plan":           {with(nil, "plan-digest", "sha256:d"), nil, "", false, "plan-digest is for the command apply", nil},
		"another command":               {with(nil, "command", "plan; touch owned"), nil, "", false, "command is one of", nil},
		"no command":                    {with(nil, "command", ""), nil, "", false, "command is one of", nil},
		"only installed":                {with(nil, "command", "install"), nil, "", true, "", map[string]string{"exit-code": ""}},
		"arguments, one a line":         {with(nil, "args", hostile), nil, "ci\nplan\n$(touch owned)\n`touch owned`\n; touch owned\n\"quoted\" 'too' \\ *\n-var\na=b c\nLINES\n${HOME}", true, "", nil},
		"a digest that is a command":    {with(nil, "command", "apply", "plan-digest", "$(touch owned)"), nil, "ci\napply\n-plan-digest\n$(touch owned)", true, "", nil},
		"a folder with a blank":         {with(nil, "working-directory", "deploy/my secrets"), nil, "ci\nplan", true, "", nil},
		"a version that is a command":   {with(nil, "version", "$(touch owned)"), nil, "", false, "set the version", nil},
		"no release of the version":     {with(nil, "version", "9.9.9"), nil, "", false, "is 9.9.9 a release", nil},
		"another sum":                   {with(nil, "sha256", strings.Repeat("0", 64)), nil, "", false, "Nothing was installed", nil},
		"a forged output in the digest": {with(nil, "command", "apply", "plan-digest", "a\ndigest=b"), nil, "ci\napply\n-plan-digest\na\ndigest=b", true, "", map[string]string{"digest": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			r, inputs := newRunner(t)
			maps.Copy(inputs, c.inputs)
			got, log, ok := r.use(inputs, c.environ)
			if ok != c.ok || !strings.Contains(log, c.says) || r.told("args") != c.args {
				t.Errorf("succeeded: %v, want %v; coffer was asked %q\n%s", ok, c.ok, r.told("args"), log)
			}
			for name, want := range c.want {
				if got[name] != want {
					t.Errorf("the output %s is %q, want %q", name, got[name], want)
				}
			}
			if c.args == "" {
				return
			}
			if dir := r.told("pwd"); filepath.Base(dir) != filepath.Base(filepath.Join(r.workspace, r.inputs["working-directory"])) {
				t.Errorf("coffer ran in %s", dir)
			}
			env := strings.Split(r.told("env"), "\n")
			if !slices.Contains(env, "COFFER_GITHUB_TOKEN=token-of-the-job") || slices.ContainsFunc(env, func(v string) bool {
				return strings.HasPrefix(v, "ACTION_TOKEN=") || strings.HasPrefix(v, "ACTION_ID_TOKEN=") || strings.HasPrefix(v, "COFFER_ID_TOKEN=")
			}) {
				t.Errorf("coffer has the environment %v", env)
			}
			for _, dir := range []string{r.workspace, r.home, filepath.Join(r.workspace, r.inputs["working-directory"])} {
				if _, err := os.Lstat(filepath.Join(dir, "owned")); err == nil {
					t.Errorf("an input was run in %s", dir)
				}
			}
		})
	}
}

// The identity token reaches the step that signs in and nothing else: no argument
// of a program, and in the log only the line that masks it.
func TestActionAsksForAnIdentity(t *testing.T) {
	const jwt, request = "eyJh.eyJz-._9.c2ln", "request-token"
	answer, status := "", http.StatusOK
	var asked []string
	var mu sync.Mutex
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Query().Get("audience")+" "+r.URL.Query().Get("api-version")+" "+r.Header.Get("Authorization"))
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	})
	github, plain := httptest.NewTLSServer(serve), httptest.NewServer(serve)
	defer github.Close()
	defer plain.Close()
	const audience = "https://vault.example.com/?a=b&c=$(touch owned)"
	for name, c := range map[string]struct {
		answer string
		status int
		url    string
		want   string
		ok     bool
		says   string
	}{
		"a token":                {`{"count":1, "value": "` + jwt + `"}`, 200, github.URL + "/t?api-version=2.0", jwt, true, "::add-mask::" + jwt},
		"over several lines":     {"{\n \"value\":\n \"" + jwt + "\"\n}\n", 200, github.URL + "/t?api-version=2.0", jwt, true, ""},
		"no right to one":        {"", 200, "", "", true, "There is no identity token"},
		"refused":                {"no", 403, github.URL + "/t?api-version=2.0", "", false, "GitHub gave no identity token"},
		"no token":               {`{"message": "no"}`, 200, github.URL + "/t?api-version=2.0", "", false, "there is no identity token in the answer"},
		"a token with a line":    {`{"value": "a\nPATH=x"}`, 200, github.URL + "/t?api-version=2.0", "", false, "there is no identity token in the answer"},
		"an address without TLS": {`{"value": "` + jwt + `"}`, 200, plain.URL + "/t", "", false, "GitHub gave no identity token"},
	} {
		t.Run(name, func(t *testing.T) {
			mu.Lock()
			answer, status, asked = c.answer, c.status, nil
			mu.Unlock()
			r, inputs := newRunner(t)
			curl, err := lookPath(r.environ["PATH"], "curl")
			must(t, err)
			r.stub("curl", `printf '%s\n' "$@" >>"$FAKE_DIR/curl"; exec `+curl+` "$@"`)
			environ := map[string]string{}
			if c.url != "" {
				environ["ACTIONS_ID_TOKEN_REQUEST_URL"], environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = c.url, request
			}
			got, log, ok := r.use(with(inputs, "audience", audience), environ)
			mu.Lock()
			defer mu.Unlock()
			if ok != c.ok || got["id-token"] != c.want || !strings.Contains(log, c.says) {
				t.Errorf("succeeded: %v, output %q\n%s", ok, got["id-token"], log)
			}
			if c.want == "" {
				if strings.HasPrefix(c.url, plain.URL) && len(asked) > 0 {
					t.Errorf("asked without TLS: %q", asked)
				}
				return
			}
			if want := audience + " 2.0 Bearer " + request; !slices.Equal(asked, []string{want}) {
				t.Errorf("GitHub was asked %q, want %q", asked, want)
			}
			if args := r.told("curl"); strings.Contains(args, request) || strings.Contains(args, jwt) {
				t.Errorf("a token is an argument:\n%s", args)
			}
			if strings.Count(log, jwt) != 1 || strings.Contains(log, request) {
				t.Errorf("the log shows a token:\n%s", log)
			}
			if env := strings.Split(r.told("env"), "\n"); !slices.Contains(env, "COFFER_ID_TOKEN="+jwt) {
				t.Errorf("coffer has the environment %v", env)
			}
		})
	}
}

func lookPath(path, name string) (string, error) {
	for dir := range strings.SplitSeq(path, ":") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name), nil
		}
	}
	return "", os.ErrNotExist
}
