// Package pkcs11 stands in for a wrapper that the test server does not use.
package pkcs11
