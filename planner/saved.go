package planner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// maxPlanBytes bounds a plan file, which may come from anywhere.
const maxPlanBytes = 64 << 20

// Digest names a plan: what a reviewer saw and what apply demands.
func (p *Plan) Digest() string {
	text, err := json.Marshal(p)
	if err != nil { // plain data always encodes
		panic(err)
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// savedPlan is a plan file: the digest first, so that a cut or edited file is
// noticed. The digest proves nothing about who wrote it.
type savedPlan struct {
	Digest string          `json:"plan_digest"`
	Plan   json.RawMessage `json:"plan"`
}

// Encode returns the content of a plan file.
func (p *Plan) Encode() ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	out, err := json.Marshal(savedPlan{Digest: p.Digest(), Plan: text})
	return append(out, '\n'), err
}

// DecodePlan reads a plan file. Unknown fields, a wrong digest and trailing
// text are errors.
func DecodePlan(r io.Reader) (*Plan, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPlanBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxPlanBytes {
		return nil, fmt.Errorf("the plan file is larger than %d MiB", maxPlanBytes>>20)
	}
	var saved savedPlan
	if err := strict(data, &saved); err != nil {
		return nil, fmt.Errorf("not a plan file: %w", err)
	}
	var p Plan
	if err := strict(saved.Plan, &p); err != nil {
		return nil, fmt.Errorf("not a plan that this coffer understands: %w", err)
	}
	if got := p.Digest(); got != saved.Digest {
		return nil, fmt.Errorf("the plan file was changed or cut after it was written: plan again")
	}
	return &p, nil
}

func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("text after the end")
	}
	return nil
}
