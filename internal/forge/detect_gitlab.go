package forge

import (
	"cmp"
	"strings"
)

func detectGitLab(getenv func(string) string) (Run, error) {
	run := Run{
		Kind:       GitLab,
		Repository: getenv("CI_PROJECT_ID"),
		API:        strings.TrimSuffix(getenv("CI_API_V4_URL"), "/"),
		Web:        strings.TrimSuffix(getenv("CI_PROJECT_URL"), "/"),
		Head:       getenv("CI_COMMIT_SHA"),
		Page:       strings.TrimSuffix(getenv("CI_JOB_URL"), "/"),
	}
	if getenv("CI_COMMIT_TAG") == "" {
		run.Branch = cmp.Or(getenv("CI_COMMIT_BRANCH"), getenv("CI_COMMIT_REF_NAME"))
	}
	iid := getenv("CI_MERGE_REQUEST_IID")
	if iid == "" && getenv("CI_PIPELINE_SOURCE") != "merge_request_event" {
		return run, nil
	}
	run.Change = number(iid)
	// In a pipeline of merged results the job has a merge of both ends, and the two
	// variables below. Only there is the tip of the target known: else what is
	// trusted is where the branches parted.
	run.Base = cmp.Or(getenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA"), getenv("CI_MERGE_REQUEST_DIFF_BASE_SHA"))
	run.Head = cmp.Or(getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"), run.Head)
	run.Branch, run.Default = getenv("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"), getenv("CI_DEFAULT_BRANCH")
	// The pipeline of a fork's merge request runs in the fork, whose project is not
	// the one that has the merge request.
	target := getenv("CI_MERGE_REQUEST_PROJECT_ID")
	run.Repository = cmp.Or(target, run.Repository)
	run.Web = strings.TrimSuffix(cmp.Or(getenv("CI_MERGE_REQUEST_PROJECT_URL"), run.Web), "/")
	run.Fork = target == "" || getenv("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") != target
	if run.Change == 0 || run.Base == "" || run.Head == "" {
		return Run{}, unclear("the pipeline is of a merge request and lacks its number or a commit",
			"look for a variable of the project or pipeline that overwrites CI_MERGE_REQUEST_IID or CI_MERGE_REQUEST_DIFF_BASE_SHA")
	}
	return run, nil
}
