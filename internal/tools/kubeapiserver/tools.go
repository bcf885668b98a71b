//go:build tools

// Package tools holds go.mod to the command that build.sh builds.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
