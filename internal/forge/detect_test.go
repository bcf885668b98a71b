package forge_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/forge"
)

const (
	base  = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	head  = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	merge = "cccccccccccccccccccccccccccccccccccccccc"
)

// gitHubJob is the environment of a job on GitHub, with what is given.
func gitHubJob(more map[string]string) map[string]string {
	env := map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": "/event.json", "GITHUB_EVENT_NAME": "push", "GITHUB_REPOSITORY": "acme/shop",
		"GITHUB_SHA": merge, "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch", "GITHUB_SERVER_URL": "https://github.com",
		"GITHUB_API_URL": "https://api.github.com", "GITHUB_RUN_ID": "17", "GITHUB_STEP_SUMMARY": "/summary", "GITHUB_OUTPUT": "/output",
	}
	maps.Copy(env, more)
	return env
}

func gitLabJob(more map[string]string) map[string]string {
	env := map[string]string{
		"GITLAB_CI": "true", "CI_API_V4_URL": "https://gitlab.example/api/v4", "CI_PROJECT_ID": "4711",
		"CI_PROJECT_URL": "https://gitlab.example/acme/shop", "CI_COMMIT_SHA": head, "CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_NAME": "main",
		"CI_JOB_URL": "https://gitlab.example/acme/shop/-/jobs/9", "CI_PIPELINE_SOURCE": "push",
	}
	maps.Copy(env, more)
	return env
}

// mergeRequest is what a pipeline of a merge request has instead of a branch.
func mergeRequest(more map[string]string) map[string]string {
	env := gitLabJob(map[string]string{
		"CI_COMMIT_BRANCH": "", "CI_COMMIT_REF_NAME": "fix", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "12",
		"CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_MERGE_REQUEST_PROJECT_ID": "4711", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "4711",
		"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_DEFAULT_BRANCH": "trunk", "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example/acme/shop",
	})
	maps.Copy(env, more)
	return env
}

func pull(from, to string) string {
	return fmt.Sprintf(`{"action":"opened","number":12,"repository":{"default_branch":"trunk"},"pull_request":{"number":12,
		"base":{"sha":%q,"ref":"main","repo":{"full_name":%q}},"head":{"sha":%q,"ref":"fix","repo":%s}}}`, base, to, head, from)
}

func detect(env map[string]string, event string) (forge.Run, error) {
	return forge.Detect(func(n string) string { return env[n] }, func(path string) ([]byte, error) {
		if path != "/event.json" {
			return nil, errors.New("no such file")
		}
		return []byte(event), nil
	})
}

func TestDetect(t *testing.T) {
	onGitHub := forge.Run{
		Kind: forge.GitHub, Repository: "acme/shop", API: "https://api.github.com", Web: "https://github.com/acme/shop", Head: merge, Branch: "main",
		Page: "https://github.com/acme/shop/actions/runs/17", Summary: "/summary", Outputs: "/output",
	}
	onGitLab := forge.Run{
		Kind: forge.GitLab, Repository: "4711", API: "https://gitlab.example/api/v4", Web: "https://gitlab.example/acme/shop", Head: head, Branch: "main",
		Page: "https://gitlab.example/acme/shop/-/jobs/9",
	}
	with := func(r forge.Run, change func(*forge.Run)) forge.Run { change(&r); return r }
	pulled := with(onGitHub, func(r *forge.Run) { r.Change, r.Base, r.Head, r.Default = 12, base, head, "trunk" })
	fork := with(pulled, func(r *forge.Run) { r.Fork = true })
	requested := with(onGitLab, func(r *forge.Run) { r.Change, r.Base, r.Default = 12, base, "trunk" })
	own, other := `{"full_name":"Acme/Shop"}`, `{"full_name":"mallory/shop"}`
	pullEnv := func(event string) map[string]string {
		return gitHubJob(map[string]string{"GITHUB_EVENT_NAME": event, "GITHUB_BASE_REF": "main", "GITHUB_HEAD_REF": "fix", "GITHUB_REF_NAME": "12/merge"})
	}
	for name, c := range map[string]struct {
		env   map[string]string
		event string
		want  forge.Run
	}{
		"nothing":           {nil, "", forge.Run{Kind: forge.Plain}},
		"another place":     {map[string]string{"CI": "true", "GITHUB_ACTIONS": "false"}, "", forge.Run{Kind: forge.Plain}},
		"push":              {gitHubJob(nil), `{"before":"x","after":"y"}`, onGitHub},
		"schedule":          {gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "schedule"}), `{"schedule":"0 4 * * *"}`, onGitHub},
		"workflow_dispatch": {gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "workflow_dispatch"}), `{"inputs":{"pull_request":{"number":5}}}`, onGitHub},
		"tag":               {gitHubJob(map[string]string{"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1"}), `{}`, with(onGitHub, func(r *forge.Run) { r.Branch = "" })},
		"no event file":     {gitHubJob(map[string]string{"GITHUB_EVENT_PATH": ""}), ``, onGitHub},
		"defaults": {
			map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/shop"},
			"",
			forge.Run{Kind: forge.GitHub, Repository: "acme/shop", API: "https://api.github.com", Web: "https://github.com/acme/shop"},
		},
		"enterprise": {
			gitHubJob(map[string]string{"GITHUB_API_URL": "https://ghe.corp/api/v3/", "GITHUB_SERVER_URL": "https://ghe.corp"}), `{}`,
			with(onGitHub, func(r *forge.Run) {
				r.API, r.Web, r.Page = "https://ghe.corp/api/v3", "https://ghe.corp/acme/shop", "https://ghe.corp/acme/shop/actions/runs/17"
			}),
		},
		"pull_request":        {pullEnv("pull_request"), pull(own, "acme/shop"), pulled},
		"pull_request_target": {pullEnv("pull_request_target"), pull(own, "acme/shop"), pulled},
		"of a fork":           {pullEnv("pull_request"), pull(other, "acme/shop"), fork},
		"target, of a fork":   {pullEnv("pull_request_target"), pull(other, "acme/shop"), fork},
		"of a deleted fork":   {pullEnv("pull_request"), pull("null", "acme/shop"), fork},
		"of nobody knows":     {pullEnv("pull_request"), strings.ReplaceAll(pull("null", ""), `{"full_name":""}`, "null"), fork},
		"merge_group": {
			gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF_NAME": "gh-readonly-queue/main/pr-12-" + base}),
			fmt.Sprintf(`{"merge_group":{"base_sha":%q,"base_ref":"refs/heads/main","head_sha":%q}}`, base, head),
			with(onGitHub, func(r *forge.Run) { r.Base, r.Head = base, head }),
		},

		"gitlab, push":     {gitLabJob(nil), "", onGitLab},
		"gitlab, schedule": {gitLabJob(map[string]string{"CI_PIPELINE_SOURCE": "schedule"}), "", onGitLab},
		"gitlab, tag": {
			gitLabJob(map[string]string{"CI_COMMIT_BRANCH": "", "CI_COMMIT_REF_NAME": "v1", "CI_COMMIT_TAG": "v1"}), "",
			with(onGitLab, func(r *forge.Run) { r.Branch = "" }),
		},
		"gitlab, merge request": {mergeRequest(nil), "", requested},
		"gitlab, merged results": {
			mergeRequest(map[string]string{"CI_COMMIT_SHA": merge, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": head, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": merge}), "",
			with(requested, func(r *forge.Run) { r.Base = merge }),
		},
		"gitlab, of a fork": {
			mergeRequest(map[string]string{
				"CI_PROJECT_ID": "99", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "99", "CI_PROJECT_URL": "https://gitlab.example/mallory/shop",
			}), "",
			with(requested, func(r *forge.Run) { r.Fork = true }),
		},
	} {
		got, err := detect(c.env, c.event)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, c.want)
		}
	}
}

// What is trusted depends on it, so what cannot be made out is an error and not a
// run of a branch.
func TestDetectRefuses(t *testing.T) {
	sha := func(s string) string {
		return strings.ReplaceAll(pull(`{"full_name":"acme/shop"}`, "acme/shop"), base, s)
	}
	for name, c := range map[string]struct {
		env   map[string]string
		event string
	}{
		"no file":                  {gitHubJob(map[string]string{"GITHUB_EVENT_PATH": "/gone"}), ""},
		"no JSON":                  {gitHubJob(nil), "{"},
		"pull request, no event":   {gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "pull_request"}), "{}"},
		"target, no event":         {gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "pull_request_target"}), "{}"},
		"base ref, no event":       {gitHubJob(map[string]string{"GITHUB_BASE_REF": "main"}), "{}"},
		"pull request, no path":    {gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": ""}), ""},
		"pull request is null":     {gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "pull_request"}), `{"pull_request":null}`},
		"queue, no event":          {gitHubJob(map[string]string{"GITHUB_EVENT_NAME": "merge_group"}), "{}"},
		"no base":                  {gitHubJob(nil), sha("")},
		"number of zero":           {gitHubJob(nil), strings.ReplaceAll(sha(base), "12", "0")},
		"number below zero":        {gitHubJob(nil), strings.ReplaceAll(sha(base), "12", "-12")},
		"base is an option of git": {gitHubJob(nil), sha("--upload-pack=touch")},
		"base is a short commit":   {gitHubJob(nil), sha("aaaaaaa")},
		"base is a branch":         {gitHubJob(nil), sha("main")},
		"branch is an option":      {gitHubJob(nil), strings.ReplaceAll(sha(base), `"ref":"main"`, `"ref":"--force"`)},
		"branch has a colon":       {gitHubJob(nil), strings.ReplaceAll(sha(base), `"ref":"main"`, `"ref":"a:b"`)},
		"branch goes up":           {gitHubJob(nil), strings.ReplaceAll(sha(base), `"ref":"main"`, `"ref":"a/../b"`)},
		"branch has a line end":    {gitHubJob(map[string]string{"GITHUB_REF_NAME": "a\nb"}), "{}"},
		"commit is none":           {gitHubJob(map[string]string{"GITHUB_SHA": "HEAD"}), "{}"},
		"no repository":            {gitHubJob(map[string]string{"GITHUB_REPOSITORY": ""}), "{}"},
		"repository goes up":       {gitHubJob(map[string]string{"GITHUB_REPOSITORY": "../.."}), "{}"},
		"repository has a query":   {gitHubJob(map[string]string{"GITHUB_REPOSITORY": "a/b?c"}), "{}"},
		"API is a file":            {gitHubJob(map[string]string{"GITHUB_API_URL": "file:///etc"}), "{}"},
		"API has a password":       {gitHubJob(map[string]string{"GITHUB_API_URL": "https://u:p@h"}), "{}"},
		"API has a query":          {gitHubJob(map[string]string{"GITHUB_API_URL": "https://h/?a=b"}), "{}"},
		"API has a line end":       {gitHubJob(map[string]string{"GITHUB_API_URL": "https://h/\nx"}), "{}"},
		"page is a script":         {gitHubJob(map[string]string{"GITHUB_SERVER_URL": "javascript:x"}), "{}"},
		"page has a bracket":       {gitHubJob(map[string]string{"GITHUB_RUN_ID": "1>x"}), "{}"},

		"gitlab, no API":          {gitLabJob(map[string]string{"CI_API_V4_URL": ""}), ""},
		"gitlab, no project":      {gitLabJob(map[string]string{"CI_PROJECT_ID": ""}), ""},
		"gitlab, project by path": {gitLabJob(map[string]string{"CI_PROJECT_ID": "acme/shop"}), ""},
		"gitlab, no number":       {mergeRequest(map[string]string{"CI_MERGE_REQUEST_IID": ""}), ""},
		"gitlab, no such number":  {mergeRequest(map[string]string{"CI_MERGE_REQUEST_IID": "1/../2"}), ""},
		"gitlab, no base":         {mergeRequest(map[string]string{"CI_MERGE_REQUEST_DIFF_BASE_SHA": ""}), ""},
		"gitlab, base is none":    {mergeRequest(map[string]string{"CI_MERGE_REQUEST_DIFF_BASE_SHA": "-x"}), ""},
		"gitlab, branch is none":  {mergeRequest(map[string]string{"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "-x"}), ""},
	} {
		run, err := detect(c.env, c.event)
		if err == nil {
			t.Errorf("%s: %+v", name, run)
			continue
		}
		if e := failure(t, err, forge.Refused); e.Hint == "" || run != (forge.Run{}) || strings.Contains(e.Error(), "touch") {
			t.Errorf("%s: %v, %+v", name, e, run)
		}
	}
}

// FuzzEvent: whatever an event says, a run has only what [forge.Run] promises, and
// a pull request never becomes the run of a branch.
func FuzzEvent(f *testing.F) {
	own := `{"full_name":"acme/shop"}`
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"pull_request":null}`, `{"pull_request":{}}`, `{"merge_group":{}}`, pull(own, "acme/shop"), pull("null", "acme/shop"),
		pull(`{"full_name":7}`, "acme/shop"), strings.ReplaceAll(pull(own, "acme/shop"), base, "--output=x"),
		strings.ReplaceAll(pull(own, "acme/shop"), `"main"`, `"a\u202e\nb"`), `{"Pull_Request":{"number":1},"pull_request":{"number":1e3}}`,
		fmt.Sprintf(`{"merge_group":{"base_sha":%q,"base_ref":"refs/heads/-x","head_sha":%q}}`, base, head), strings.Repeat("[", 10_000),
	} {
		for _, kind := range []string{"pull_request", "pull_request_target", "merge_group", "push"} {
			f.Add(kind, seed)
		}
	}
	sha := regexp.MustCompile(`^(|[0-9a-f]{40}|[0-9a-f]{64})$`)
	branch := regexp.MustCompile(`^(|[^-\pC\s][^\p{Cc}\s:~^?*\[\\]*)$`)
	f.Fuzz(func(t *testing.T, kind, event string) {
		run, err := detect(gitHubJob(map[string]string{"GITHUB_EVENT_NAME": kind}), event)
		if err != nil {
			if failure(t, err, forge.Refused); run != (forge.Run{}) {
				t.Errorf("%v with %+v", err, run)
			}
			return
		}
		if run.Change < 0 || !sha.MatchString(run.Base) || !sha.MatchString(run.Head) || !branch.MatchString(run.Branch) || strings.Contains(run.Branch, "..") {
			t.Errorf("%+v", run)
		}
		if strings.HasPrefix(kind, "pull_request") && (run.Change == 0 || run.Base == "") || kind == "merge_group" && run.Base == "" || run.Change > 0 && run.Base == "" {
			t.Errorf("%s is taken for a run of a branch: %+v", kind, run)
		}
		if run.Repository != "acme/shop" || run.API != "https://api.github.com" {
			t.Errorf("the event changed where we are: %+v", run)
		}
	})
}
