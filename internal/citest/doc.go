// Package citest holds what other programs read to what they take: the GitHub
// action, the GitLab component, the pre-commit hooks, and every YAML block, shell
// command and script of docs/ci. It has tests alone; read TestDocumentsAreSafe
// first. The scripts really run, against a server of releases and a coffer that
// only says what it was asked.
//
// It knows no other package: what coffer answers is tested elsewhere.
package citest
