package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
)

// ciCommitted is what became of what an apply changed in the repository.
type ciCommitted struct {
	ID     string `json:"id"`
	Branch string `json:"branch"`
	Pushed bool   `json:"pushed"`
}

// keeper keeps in the repository what an apply changes there: the state, where it
// is a file, and the files of the stores. nil keeps nothing.
type keeper struct {
	checkout
	branch   string
	paths    []string // below top, with slashes
	expected []string // files below them that may not be there yet

	// What was made of it, once it is committed.
	parent, made string
	entriesMade  []treeEntry
}

// keeper looks whether all can be kept later, before anything is done. It asks
// git alone, no provider.
func (j *ciJob) keeper(ctx context.Context, cfg *lang.Config, blocks decodedBlocks, branch string) (*keeper, error) {
	inv := j.inv
	var wanted []string
	if inv.state != "" || blocks.state.backend == nil {
		wanted = append(wanted, inv.statePath(cfg.Settings.StatePath))
	}
	expected := slices.Clone(wanted)
	for _, b := range blocks.providers {
		if folder := storeFolder(b); folder != "" {
			wanted = append(wanted, inv.path(folder))
			expected = append(expected, filesOfStore(cfg, inv.path(folder))...)
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	here, err := inv.repository(ctx)
	if err != nil {
		return nil, fmt.Errorf("what an apply changes beside the configuration is committed, so that it is not lost with this machine, and %w; "+
			"check the repository out with git, or keep the state in a backend and the secrets in a store that is no folder", err)
	}
	k := &keeper{checkout: here}
	for _, path := range wanted {
		if rel, ok := here.below(path); ok {
			k.paths = append(k.paths, rel)
			continue
		}
		inv.say("%s is outside of the repository, so it is not committed.", path)
	}
	if len(k.paths) == 0 {
		return nil, nil
	}
	for _, path := range expected {
		if rel, ok := here.below(path); ok {
			k.expected = append(k.expected, rel)
		}
	}
	for _, refuse := range []func(context.Context) error{k.refuseIgnored, k.refuseFiltered, k.refuseChanged} {
		if err := refuse(ctx); err != nil {
			return nil, err
		}
	}
	if k.branch, err = j.branchOf(ctx, here, branch); err != nil {
		return nil, err
	}
	return k, k.refuseMoved(ctx)
}

// below returns path relative to the top of the checkout, with slashes, and whether
// it is in there.
func (c checkout) below(path string) (string, bool) {
	rel, err := filepath.Rel(resolved(c.top), resolved(path))
	return filepath.ToSlash(rel), err == nil && filepath.IsLocal(rel)
}

// filesOfStore returns the files that a folder of secrets may get: where each
// secret of the configuration would lie in it.
func filesOfStore(cfg *lang.Config, folder string) []string {
	var files []string
	for _, s := range cfg.Secrets {
		file := s.Path
		switch {
		case file == "" && s.Address.Kind == addr.KindEnvFile:
			file = s.Address.Environment + "/" + s.Address.App + "-" + s.Address.Name + ".env"
		case file == "":
			file = s.Address.Environment + "/" + s.Address.App + ".yaml"
		case s.Address.Kind != addr.KindEnvFile:
			file = path.Dir(file) + ".yaml" // the last part is a key in it
		}
		files = append(files, filepath.Join(folder, filepath.FromSlash(file)))
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// refuseIgnored refuses what git would never take.
func (k *keeper) refuseIgnored(ctx context.Context) error {
	for _, path := range k.paths {
		switch _, err := k.run(ctx, "check-ignore", "--quiet", "--", path); {
		case err == nil:
			return fmt.Errorf("git ignores %s, so what the apply changes there could not be committed and would be lost with this machine: "+
				"take it out of .gitignore, or keep the state in a backend", path)
		case exitOf(err) != 1:
			return err
		}
	}
	return nil
}

// refuseChanged refuses files with changes that the apply would be blamed for.
func (k *keeper) refuseChanged(ctx context.Context) error {
	changed, err := k.changed(ctx)
	if err != nil || len(changed) == 0 {
		return err
	}
	return fmt.Errorf("%s has changes that are not committed, and they are not the apply's; nothing was changed: commit them or check out anew", strings.Join(changed, ", "))
}

// branchOf returns the branch that the state is pushed to.
func (j *ciJob) branchOf(ctx context.Context, here checkout, given string) (string, error) {
	branch := given
	if branch == "" {
		branch = j.run.Branch
	}
	if branch == "" {
		branch, _ = here.line(ctx, "symbolic-ref", "--quiet", "--short", "HEAD")
	}
	if branch == "" {
		return "", errors.New("it is not known which branch the state is to be pushed to, since no branch is checked out: name it with -branch")
	}
	if _, err := here.run(ctx, "check-ref-format", "refs/heads/"+branch); err != nil {
		return "", usagef("-branch %q is not the name of a branch", branch)
	}
	return branch, nil
}

// refuseMoved refuses a checkout that is not the tip of the branch: what others
// committed since may be a newer state.
func (k *keeper) refuseMoved(ctx context.Context) error {
	head, err := k.line(ctx, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	tip, err := k.tip(ctx, k.branch)
	if err != nil {
		return fmt.Errorf("whether %s has moved could not be told, so nothing was changed: %w", k.branch, err)
	}
	switch tip {
	case head:
		return nil
	case "":
		return fmt.Errorf("origin has no branch %s to push the state to; nothing was changed: name another one with -branch", k.branch)
	}
	return fmt.Errorf("%s is at commit %s on origin, and %s is checked out: the branch has moved, so the state here may be old; nothing was changed. "+
		"Run the job of the newest commit; if that refuses the plan, plan again", k.branch, briefly(tip), briefly(head))
}

// tip returns the newest commit of a branch of origin, "" where there is no such
// branch.
func (c checkout) tip(ctx context.Context, branch string) (string, error) {
	answer, err := c.line(ctx, "ls-remote", "--quiet", "origin", "refs/heads/"+branch)
	tip, _, _ := strings.Cut(answer, "\t")
	return tip, err
}

// changed lists the files below the paths that differ from what is committed.
func (k *keeper) changed(ctx context.Context) ([]string, error) {
	if len(k.paths) == 0 {
		return nil, nil
	}
	out, err := k.run(ctx, append([]string{"--literal-pathspecs", "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--"}, k.paths...)...)
	if err != nil {
		return nil, err
	}
	var files []string
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if len(entry) < 4 {
			continue
		}
		if file := entry[3:]; !isStoreLock(file) {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files, nil
}

// keep commits what the apply changed and pushes it. Hooks are left out: none may
// keep the state from being kept. The checkout follows once it is pushed.
func (k *keeper) keep(ctx context.Context, j *ciJob) error {
	if k == nil {
		return nil
	}
	files, err := k.changed(ctx)
	if err == nil && len(files) > 0 {
		err = k.commit(ctx, j, files)
	}
	if err != nil {
		return fmt.Errorf("what the apply changed is on this machine and not committed: %w. Commit %s by hand", err, strings.Join(k.paths, " and "))
	}
	if j.doc.Commit == nil {
		return nil
	}
	return k.push(ctx, j)
}

func (k *keeper) commit(ctx context.Context, j *ciJob, files []string) error {
	parent, err := k.line(ctx, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return err
	}
	// Neither forge runs jobs for a commit that says so: they would plan this one.
	message := "Coffer: state after an apply\n\nPlan digest: " + j.doc.Digest + "\n\n[skip ci]\n"
	id, entries, err := k.writeCommit(ctx, j.inv.Getenv("TMPDIR"), parent, message, files)
	if err != nil || id == "" {
		return err
	}
	k.parent, k.made, k.entriesMade = parent, id, entries
	j.doc.Commit = &ciCommitted{ID: id, Branch: k.branch}
	j.output("commit", id)
	return nil
}

// identity names the author of the commit where nothing else does: a runner has no
// name.
func (k *keeper) identity(ctx context.Context) []string {
	if _, err := k.run(ctx, "config", "--get", "user.email"); err == nil || slices.ContainsFunc(k.env, func(v string) bool { return strings.HasPrefix(v, "GIT_COMMITTER_EMAIL=") }) {
		return nil
	}
	return []string{"-c", "user.name=Coffer", "-c", "user.email=coffer@localhost"}
}

// push brings the commit to the branch, or to one of its own. Where it gets to
// neither, the checkout has it, since that is all there is.
func (k *keeper) push(ctx context.Context, j *ciJob) error {
	done := j.doc.Commit
	err := k.pushTo(ctx, k.branch)
	if err == nil {
		done.Pushed = true
		j.inv.say("Committed as %s and pushed to %s.", briefly(done.ID), k.branch)
		if err := k.advance(ctx); err != nil {
			j.inv.say("This checkout is still at commit %s: %v. Check %s out anew before the next apply.", briefly(k.parent), err, k.branch)
		}
		return nil
	}
	aside := "coffer-state-" + briefly(done.ID)
	where := "it is kept as the branch " + aside
	next := fmt.Sprintf("git fetch origin && git checkout %s && git merge origin/%s && git push origin %s", k.branch, aside, k.branch)
	if k.pushTo(ctx, aside) != nil {
		where = "it is committed in this checkout as " + done.ID + ", and nowhere else: keep the checkout"
		next = fmt.Sprintf("git fetch origin && git merge origin/%s && git push origin HEAD:refs/heads/%s", k.branch, k.branch)
		if moveErr := k.advance(ctx); moveErr != nil {
			next = fmt.Sprintf("git push origin %s:refs/heads/%s", done.ID, k.branch)
		}
	}
	return fmt.Errorf("the apply was done, and its state could not be pushed to %s: %w. Nothing is lost: %s. Before the next apply bring it there: %s",
		k.branch, err, where, next)
}

// pushTo pushes the commit and nothing else, whatever the configuration adds.
func (k *keeper) pushTo(ctx context.Context, branch string) error {
	_, err := k.run(ctx, "push", "--quiet", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no", "origin", k.made+":refs/heads/"+branch)
	return err
}

// exitOf returns the exit code of a git that failed, 0 for anything else.
func exitOf(err error) int {
	var failed *gitError
	if errors.As(err, &failed) {
		return failed.code
	}
	return 0
}
