//go:build tools

// Package tools holds go.mod to the command that build.sh builds.
package tools

import _ "github.com/external-secrets/external-secrets"
