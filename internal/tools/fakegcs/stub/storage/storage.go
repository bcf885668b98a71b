// Package storage stands in for Google's storage client: the server takes the
// types of access rules from it, and never makes the client.
package storage

import (
	"context"
	"errors"

	"google.golang.org/api/option"
)

// ACLRole, ACLEntity, ACLRule and ProjectTeam are those of the client.
type (
	ACLRole   string
	ACLEntity string

	ACLRule struct {
		Entity      ACLEntity
		EntityID    string
		Role        ACLRole
		Domain      string
		Email       string
		ProjectTeam *ProjectTeam
	}

	ProjectTeam struct {
		ProjectNumber string
		Team          string
	}
)

// Projection is that of the client.
type Projection int

// The projections have the client's values.
const (
	ProjectionDefault Projection = iota
	ProjectionFull
	ProjectionNoACL
)

// Client is never made.
type Client struct{}

// NewClient refuses.
func NewClient(context.Context, ...option.ClientOption) (*Client, error) {
	return nil, errors.New("the storage client is not part of this test server")
}
