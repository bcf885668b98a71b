// Package option stands in for the options of Google's clients.
package option

import (
	"net/http"

	"golang.org/x/oauth2/google"
)

// ClientOption says nothing.
type ClientOption struct{}

// WithHTTPClient and WithCredentials forget what they are given.
func WithHTTPClient(*http.Client) ClientOption         { return ClientOption{} }
func WithCredentials(*google.Credentials) ClientOption { return ClientOption{} }
