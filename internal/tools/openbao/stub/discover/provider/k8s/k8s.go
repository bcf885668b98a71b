// Package k8s stands in for a provider that the test server does not use.
package k8s

// Provider does nothing.
type Provider struct{}
