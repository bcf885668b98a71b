package forge

import (
	"cmp"
	"encoding/json"
	"strings"
)

// event is what is read of the file that GitHub describes the event in.
type event struct {
	PullRequest *struct {
		Number int  `json:"number"`
		Base   side `json:"base"`
		Head   side `json:"head"`
	} `json:"pull_request"`
	MergeGroup *struct {
		BaseSHA string `json:"base_sha"`
		BaseRef string `json:"base_ref"`
		HeadSHA string `json:"head_sha"`
	} `json:"merge_group"`
	Repository struct {
		DefaultBranch string `json:"default_branch"`
	} `json:"repository"`
}

// side is one end of a pull request. A fork that was deleted has no repository.
type side struct {
	SHA  string `json:"sha"`
	Ref  string `json:"ref"`
	Repo *struct {
		FullName string `json:"full_name"`
	} `json:"repo"`
}

// repository returns the lower-case name, which GitHub does not tell apart by case.
func (s side) repository() string {
	if s.Repo == nil {
		return ""
	}
	return strings.ToLower(s.Repo.FullName)
}

func detectGitHub(getenv func(string) string, readFile func(string) ([]byte, error)) (Run, error) {
	server := strings.TrimSuffix(cmp.Or(getenv("GITHUB_SERVER_URL"), "https://github.com"), "/")
	run := Run{
		Kind:       GitHub,
		Repository: getenv("GITHUB_REPOSITORY"),
		API:        strings.TrimSuffix(cmp.Or(getenv("GITHUB_API_URL"), "https://api.github.com"), "/"),
		Head:       getenv("GITHUB_SHA"),
		Summary:    getenv("GITHUB_STEP_SUMMARY"),
		Outputs:    getenv("GITHUB_OUTPUT"),
	}
	run.Web = server + "/" + run.Repository
	if id := getenv("GITHUB_RUN_ID"); id != "" {
		run.Page = run.Web + "/actions/runs/" + id
	}
	if getenv("GITHUB_REF_TYPE") != "tag" {
		run.Branch = getenv("GITHUB_REF_NAME")
	}
	var e event
	if path := getenv("GITHUB_EVENT_PATH"); path != "" {
		text, err := readFile(path)
		if err != nil {
			return Run{}, unclear("the file of the event that GITHUB_EVENT_PATH names cannot be read",
				"in a container, mount the folder that the runner keeps it in")
		}
		if json.Unmarshal(text, &e) != nil {
			return Run{}, unclear("the file of the event that GITHUB_EVENT_PATH names is not the JSON of an event",
				"look for a step that overwrites it")
		}
	}
	return run.with(e, getenv)
}

// with adds what the event tells.
func (r Run) with(e event, getenv func(string) string) (Run, error) {
	kind := getenv("GITHUB_EVENT_NAME")
	r.Default = e.Repository.DefaultBranch
	switch pull := e.PullRequest; {
	case pull != nil:
		if pull.Number <= 0 || pull.Base.SHA == "" || pull.Head.SHA == "" {
			return Run{}, unclear("the event is of a pull request and lacks its number or a commit",
				"look for a step that overwrites the file that GITHUB_EVENT_PATH names")
		}
		// GITHUB_SHA is a merge of both ends, or the base for pull_request_target
		r.Change, r.Base, r.Head = pull.Number, pull.Base.SHA, pull.Head.SHA
		r.Branch = cmp.Or(pull.Base.Ref, getenv("GITHUB_BASE_REF"))
		// a head without a repository was a fork: one's own cannot go away alone
		r.Fork = pull.Head.repository() == "" || pull.Head.repository() != pull.Base.repository()
	case strings.HasPrefix(kind, "pull_request"), getenv("GITHUB_BASE_REF") != "":
		return Run{}, unclear("the run is of a pull request, and its event tells nothing of one",
			"look for a step that overwrites GITHUB_EVENT_PATH or the file that it names")
	case e.MergeGroup != nil:
		// it has several pull requests, so nothing is said on one; what they change is
		// no more trusted than before
		r.Base, r.Head = e.MergeGroup.BaseSHA, e.MergeGroup.HeadSHA
		r.Branch = strings.TrimPrefix(e.MergeGroup.BaseRef, "refs/heads/")
	}
	if kind == "merge_group" && r.Base == "" {
		return Run{}, unclear("the run is of a merge queue, and its event tells nothing of one",
			"look for a step that overwrites GITHUB_EVENT_PATH or the file that it names")
	}
	return r, nil
}
