package vault

import (
	"context"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

func (d *Driver) Capabilities() providers.Capabilities { panic("not built") }

func (d *Driver) Identity(context.Context) (string, error) { panic("not built") }

func (d *Driver) Inspect(context.Context, []string) (map[string]providers.Meta, error) {
	panic("not built")
}

func (d *Driver) Read(context.Context, string, string) (secret.Value, error) { panic("not built") }

func (d *Driver) Write(context.Context, providers.WriteRequest) (providers.Meta, error) {
	panic("not built")
}

func (d *Driver) Delete(context.Context, string, string) error { panic("not built") }
