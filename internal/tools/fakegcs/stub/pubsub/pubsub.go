// Package pubsub stands in for Google's message client: the test server tells
// nobody of its events.
package pubsub

import (
	"context"
	"errors"
)

// Message is what would be sent.
type Message struct {
	Data       []byte
	Attributes map[string]string
}

// Client is never made.
type Client struct{}

// NewClient refuses.
func NewClient(context.Context, string) (*Client, error) { return nil, errNotHere() }

// Topic returns a topic that refuses every message.
func (*Client) Topic(string) *Topic { return &Topic{} }

// Topic refuses every message.
type Topic struct{}

// Publish refuses.
func (*Topic) Publish(context.Context, *Message) *PublishResult { return &PublishResult{} }

// PublishResult is a refusal.
type PublishResult struct{}

// Get returns the refusal.
func (*PublishResult) Get(context.Context) (string, error) { return "", errNotHere() }

func errNotHere() error { return errors.New("pubsub is not part of this test server") }
