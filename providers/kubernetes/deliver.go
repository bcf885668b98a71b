package kubernetes

import (
	"cmp"
	"strings"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
)

// This file makes external secrets objects of the cluster; see package delivery.

var _ providers.Deliverer = (*Driver)(nil)

// Delivery returns the settings of deliveries, with the standard ones filled in.
func (c *Config) Delivery() delivery.Settings {
	var e ExternalSecrets
	if len(c.ExternalSecrets) > 0 {
		e = c.ExternalSecrets[0]
	}
	return delivery.Settings{
		ControllerNamespace:      cmp.Or(e.ControllerNamespace, "external-secrets"),
		ControllerServiceAccount: cmp.Or(e.ControllerServiceAccount, "external-secrets"),
		APIVersion:               cmp.Or(e.APIVersion, delivery.APIVersion),
	}
}

// CompileDelivery implements [providers.Deliverer].
func (d *Driver) CompileDelivery(of providers.Delivery) ([]providers.ObjectSpec, error) {
	at, err := d.deliveredAt(of)
	if err != nil {
		return nil, err
	}
	s := d.delivery
	s.APIVersion = delivery.APIVersion // in every text; see the package
	return delivery.Compile(of, at, s)
}

// DeliveryAccess implements [providers.Deliverer].
func (d *Driver) DeliveryAccess(of providers.Delivery) (providers.StoreAccess, error) {
	at, err := d.deliveredAt(of)
	return delivery.Access(of, at), err
}

// deliveredAt is where a delivery goes: the place that a Secret of its name has.
func (d *Driver) deliveredAt(of providers.Delivery) (delivery.At, error) {
	place := of.Place
	place.Kind = kindSecret
	path, err := d.DefaultPath(place)
	if of.Written != "" {
		path, err = d.Resolve(kindSecret, of.Written)
	}
	if err != nil {
		return delivery.At{}, &providers.ArgumentError{Err: err}
	}
	namespace, name := split(path)
	return delivery.At{Namespace: namespace, Name: name}, nil
}

// Delivers implements [providers.Deliverer]: what an operator or a controller
// makes has the name of what it is made of.
func (d *Driver) Delivers(_, path string) string {
	return strings.TrimPrefix(path, sealedPrefix)
}
