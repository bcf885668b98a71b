package providers

import (
	"context"
	"time"
)

// This file is the contract for what brings secrets to programs in a cluster:
// Secrets of a form of their own, sealed ones, and what the External Secrets
// operator fetches by itself.

// FormDriver keeps what a [Form] says. It is pure.
type FormDriver interface {
	// NormalForm returns f without the platform's own standards, as [Meta] has it:
	// two forms are the same where these are.
	NormalForm(f Form) Form
	// CheckForm says why a thing of kind ("secret", "kubernetes_secret",
	// "sealed_secret") cannot have this form with these fields, before any call: a
	// tls Secret needs tls.crt and tls.key. An error is [Invalid], or [Unsupported]
	// where the kind cannot be kept here at all.
	CheckForm(kind string, f Form, fields []string) error
}

// Sealing is what a sealed secret is encrypted with.
type Sealing struct {
	// Envelope names key and scope; "" is a secret that is not sealed. [Meta.Envelope]
	// of a live one has the same form.
	Envelope string
	// Expires is when the certificate ends; zero where it does not.
	Expires time.Time
}

// Sealer keeps some secrets encrypted to a key that only the platform has: they
// can be written, one field without the others too, and never read. [Driver.Read]
// of one is [Unsupported].
type Sealer interface {
	// Sealing returns what a secret at path with these attributes is to be sealed
	// with now. It may ask the platform for the key, once for all paths.
	Sealing(ctx context.Context, path string, a Attributes) (Sealing, error)
}

// StoreAccess is how an operator in a cluster signs in to a store.
type StoreAccess struct {
	Method                    string         // label of the auth block: "kubernetes", "approle", "jwt"
	Args                      map[string]any // its arguments, as in [Declaration]
	Namespace, ServiceAccount string         // whom it signs in as
	Cluster                   bool           // the store object is of the whole cluster
}

// Remote is one value as the operator asks for it.
type Remote struct {
	Key      string
	Property string // "" is the whole
}

// Exporter tells the External Secrets operator how to read what the driver
// keeps. It is pure. Errors are [*ArgumentError].
type Exporter interface {
	// SecretStore returns the provider section of a SecretStore: what stands below
	// spec.provider.
	SecretStore(a StoreAccess) (map[string]any, error)
	// StoreReader is the reader as which the access signs in; ok is false where
	// the store's own administrator gives it its rights.
	StoreReader(a StoreAccess) (r Reader, ok bool, err error)
	// Remote returns where one field of a secret is; field "" is a single value.
	Remote(path, field string) Remote
}

// Delivery is an external_secret, with all that is known of the store resolved.
type Delivery struct {
	Address string // for people
	Place   Place
	Written string // the path that the block gives it; "" is the default
	Form    Form
	Labels  map[string]string
	// Items are the keys of the Secret to be made, in order.
	Items                          []DeliveryItem
	Refresh                        time.Duration // 0 is the operator's standard
	DeletionPolicy, CreationPolicy string
	Store                          DeliveryStore
}

// DeliveryItem is one key: the concatenation of its parts.
type DeliveryItem struct {
	Name  string
	Parts []DeliveryPart
}

// DeliveryPart is plain text, a remote value, or a function ("base64encode",
// "trimspace", "urlencode") of the concatenation of its arguments.
type DeliveryPart struct {
	Text   string
	Remote *Remote
	Func   string
	Args   []DeliveryPart
}

// DeliveryStore is the store object that a [Delivery] refers to.
type DeliveryStore struct {
	Kind, Name string // "" are the standard ones
	Existing   bool   // somebody else's, and not made
	// Provider makes what stands below spec.provider, when it is known whom the
	// store signs in as.
	Provider func(a StoreAccess) (map[string]any, error)
	Access   StoreAccess // Namespace and ServiceAccount are filled in by the compiler where empty
}

// Deliverer turns a delivery into objects of the cluster, the external secret
// first. It is pure. Errors are [*ArgumentError].
type Deliverer interface {
	CompileDelivery(d Delivery) ([]ObjectSpec, error)
	// DeliveryAccess returns whom the store of d signs in as, as
	// [Deliverer.CompileDelivery] would fill it in.
	DeliveryAccess(d Delivery) (StoreAccess, error)
	// Delivers returns the place of the Secret that a thing at path makes: of an
	// external secret, a sealed one, or itself; "" where it makes none in the
	// cluster.
	Delivers(kind, path string) string
}

// Workload runs programs that use secrets.
type Workload struct {
	Kind      string // "deployment", "statefulset", "daemonset", "cronjob"
	Namespace string
	Name      string
}

// Roller knows what runs in the cluster. A rollout is an object of the kind
// "rollout" whose document is what its programs were last started with, as
// settings NAME = VALUE; writing it restarts them and waits until they run.
type Roller interface {
	// Rollout is the reference of the rollout of w.
	Rollout(w Workload) ObjectRef
	// Consumers returns, by path of a Secret, which workloads mount it or refer
	// to it, in order. One namespace is one request a kind.
	Consumers(ctx context.Context, paths []string) (map[string][]Workload, error)
}

// Condition is what a controller says of a thing that was given to it.
type Condition struct {
	Kind, Path string
	OK         bool
	Stale      bool   // it has not looked at what was last written
	Reason     string // the controller's word: "SecretSyncedError"
	Text       string // for people, cleaned and cut
	At         time.Time
}

// ConditionReader asks what controllers made of deliveries.
type ConditionReader interface {
	Conditions(ctx context.Context, refs []ObjectRef, sealed []string) ([]Condition, error)
}
