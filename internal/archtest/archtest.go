// Package archtest holds no code, only tests: they read this module's import
// graph and source, and fail where a dependency rule or a house rule is broken.
// The rules are the tables at the top of imports_test.go and source_test.go.
package archtest
