// Package acl reads and writes the policies of Vault and OpenBao and answers
// what they allow. It is pure: text in, text out.
package acl
