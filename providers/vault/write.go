package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// NextVersion implements [providers.Predictor]: versions are counted. Where the
// current version is destroyed, which is a secret that does not exist, the next
// one is higher than told here, and nobody's until a person has looked.
func (d *Driver) NextVersion(base string) string {
	n, ok := number(base)
	if !ok {
		return ""
	}
	return strconv.Itoa(n + 1)
}

// number reads a version; "" is 0.
func number(version string) (int, bool) {
	if version == "" {
		return 0, true
	}
	n, err := strconv.Atoi(version)
	return n, err == nil && n > 0 && strconv.Itoa(n) == version
}

func noVersion(version string) error {
	return providers.Errorf(providers.Conflict, "there is no version %.40q: versions are numbers", version)
}

// dataAnswer is the answer of a read; for a version that is gone it tells how.
type dataAnswer struct {
	Data struct {
		Data     map[string]json.RawMessage `json:"data"`
		Metadata version                    `json:"metadata"`
	} `json:"data"`
}

// Read implements [providers.Driver].
func (d *Driver) Read(ctx context.Context, p, version string) (secret.Value, error) {
	if err := d.within(p); err != nil {
		return secret.Value{}, err
	}
	m, err := d.mounted(ctx)
	switch {
	case err != nil:
		return secret.Value{}, err
	case !m.exists:
		return secret.Value{}, d.missingMount()
	case m.version == "1":
		return d.readV1(ctx, p, version)
	}
	if _, ok := number(version); !ok {
		return secret.Value{}, providers.Errorf(providers.NotFound, "there is no version %.40q", version)
	}
	var answer dataAnswer
	r := request{method: http.MethodGet, path: d.api("data", p), into: &answer}
	if version != "" {
		r.query = map[string][]string{"version": {version}}
	}
	if err := d.client.do(ctx, r); err != nil {
		return secret.Value{}, answer.explain(err, version)
	}
	if answer.Data.Data == nil {
		return secret.Value{}, providers.Errorf(providers.Unavailable, "the answer holds no value")
	}
	return decodeValue(answer.Data.Data)
}

// explain says what is not there.
func (a *dataAnswer) explain(err error, version string) error {
	if providers.CodeOf(err) != providers.NotFound {
		return err
	}
	which := "the secret"
	if version != "" {
		which = "version " + version
	}
	switch {
	case said(err, wordsNoRoute):
		return providers.Errorf(providers.NotFound, "there is no such mount")
	case a.Data.Metadata.Destroyed:
		return providers.Errorf(providers.NotFound, "%s was destroyed and cannot be brought back", which)
	case a.Data.Metadata.DeletionTime != "":
		return providers.Errorf(providers.NotFound, "%s was deleted at %s", which, a.Data.Metadata.DeletionTime)
	}
	return providers.Errorf(providers.NotFound, "there is no such secret or version")
}

// Write implements [providers.Driver]: the value under check-and-set, then its
// attributes in a call of their own.
func (d *Driver) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	base, ok := number(req.IfVersion)
	custom, err := d.prepare(ctx, req, ok)
	if err != nil {
		return providers.Meta{}, err
	}
	if d.config.AllowValueRead {
		return d.writeV1(ctx, req)
	}
	if req.Value.IsZero() {
		return providers.Meta{}, providers.Errorf(providers.Invalid, "there is no value to write")
	}
	body, err := encodeWrite(req.Value, base)
	if err != nil {
		return providers.Meta{}, err
	}
	if base == 0 && d.config.DeleteVersionAfter != "" {
		if err := d.settleFirst(ctx, req.Path); err != nil {
			return providers.Meta{}, err
		}
	}
	made, err := d.put(ctx, http.MethodPost, req.Path, body)
	if base == 0 && providers.CodeOf(err) == providers.Conflict {
		made, err = d.overDestroyed(ctx, req, err)
	}
	if err != nil {
		return providers.Meta{}, d.explainWrite(err, req.IfVersion)
	}
	return d.finish(ctx, req, made, custom)
}

// Patch implements [providers.Patcher].
func (d *Driver) Patch(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	base, ok := number(req.IfVersion)
	custom, err := d.prepare(ctx, req, ok)
	if err != nil {
		return providers.Meta{}, err
	}
	if base == 0 {
		return providers.Meta{}, providers.Errorf(providers.NotFound, "there is no such secret to change")
	}
	body, err := encodePatch(req.Value, req.Drop, base)
	if err != nil {
		return providers.Meta{}, err
	}
	made, err := d.put(ctx, http.MethodPatch, req.Path, body)
	if err != nil {
		return providers.Meta{}, d.explainWrite(err, req.IfVersion)
	}
	return d.finish(ctx, req, made, custom)
}

// prepare refuses what cannot be written, before anything is.
func (d *Driver) prepare(ctx context.Context, req providers.WriteRequest, number bool) (map[string]string, error) {
	if err := d.within(req.Path); err != nil {
		return nil, err
	}
	if !number {
		return nil, noVersion(req.IfVersion)
	}
	custom, err := customOf(req.Attributes)
	if err != nil {
		return nil, err
	}
	m, err := d.mounted(ctx)
	if err == nil && !m.exists {
		err = d.missingMount()
	}
	return custom, err
}

// put writes a value and returns what the server made of it.
func (d *Driver) put(ctx context.Context, method, p string, body rawBody) (*version, error) {
	var answer struct {
		Data *version `json:"data"`
	}
	r := request{method: method, path: d.api("data", p), body: body, into: &answer}
	if err := d.client.do(ctx, r); err != nil {
		return nil, err
	}
	if answer.Data == nil || answer.Data.Number < 1 {
		return nil, unclear(r, providers.Unavailable, "the answer names no version")
	}
	return answer.Data, nil
}

// overDestroyed creates a secret where the last one was destroyed: its number
// still counts.
func (d *Driver) overDestroyed(ctx context.Context, req providers.WriteRequest, conflict error) (*version, error) {
	m, err := d.readMetadata(ctx, req.Path)
	if err != nil || m.current() == nil {
		return nil, conflict
	}
	if !m.current().Destroyed {
		return nil, d.taken(m)
	}
	body, err := encodeWrite(req.Value, m.CurrentVersion)
	if err != nil {
		return nil, err
	}
	return d.put(ctx, http.MethodPost, req.Path, body)
}

// taken says what is where nothing should be.
func (d *Driver) taken(m *metadata) error {
	if at, err := m.current().deletedAt(d.now()); err == nil && !at.IsZero() {
		return providers.Errorf(providers.Conflict, "a secret that was deleted at %s has the name: its version %d is kept", m.current().DeletionTime, m.CurrentVersion).
			WithHint("bring it back with `coffer restore`, or destroy it with `coffer purge`")
	}
	return providers.Errorf(providers.Conflict, "version %d exists already", m.CurrentVersion)
}

// explainWrite says what the server's short words mean here.
func (d *Driver) explainWrite(err error, base string) error {
	switch {
	case said(err, wordsCAS) && base != "":
		return providers.Errorf(providers.Conflict, "the live version is not %s any more: somebody else wrote, and nothing was changed here", base)
	case said(err, wordsCAS):
		return providers.Errorf(providers.Conflict, "a version exists already")
	case said(err, wordsNoRoute):
		return d.missingMount()
	case providers.CodeOf(err) == providers.NotFound:
		return providers.Errorf(providers.NotFound, "there is no such secret to change")
	case providers.CodeOf(err) == providers.Unsupported:
		return providers.Errorf(providers.Unsupported, "the server cannot change single fields: it is older than Vault 1.9")
	}
	return err
}

// finish writes the attributes that belong to a version that was just made.
func (d *Driver) finish(ctx context.Context, req providers.WriteRequest, made *version, custom map[string]string) (providers.Meta, error) {
	meta := providers.Meta{Version: strconv.Itoa(made.Number), Attributes: attributesOf(made.CustomMetadata)}
	created, err := parseTime(made.CreatedTime)
	if err != nil {
		return providers.Meta{}, providers.Errorf(providers.Ambiguous, "version %d was made, and its time cannot be read", made.Number)
	}
	meta.Created = created
	if req.KeepAttributes {
		return meta, nil
	}
	change := d.attributeChange(made.CustomMetadata, custom)
	if len(change) > 0 {
		if err := d.patchMetadata(ctx, req.Path, change); err != nil {
			return providers.Meta{}, d.halfDone(made.Number, err)
		}
	}
	meta.Attributes = attributesOf(custom)
	return meta, nil
}

// halfDone is the error of a write whose value is there and whose mark is not:
// the next run finds the version that it expects and marks it.
func (d *Driver) halfDone(number int, err error) error {
	return doubt(err, "version %d was written, and then its owner mark was not", number)
}
