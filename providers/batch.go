package providers

import (
	"context"
	"slices"

	"github.com/cofferhq/coffer/providers/secret"
)

// Batches reports whether changes of one container are one write.
func (p *Provider) Batches() bool { return p.powers.BatchWriter != nil }

// Container returns the container that a path lies in. Without a [BatchWriter]
// every path is a container of its own.
func (p *Provider) Container(kind, path string) string {
	if p.powers.BatchWriter != nil {
		return p.powers.BatchWriter.Container(kind, path)
	}
	return kind + ":" + path
}

// WriteBatch executes operations on one container and returns one result for
// each, in order. Errors are those of the single calls. Without a
// [BatchWriter] the operations are executed one after the other.
func (p *Provider) WriteBatch(ctx context.Context, b Batch) []Result {
	results := make([]Result, len(b.Ops))
	if p.powers.BatchWriter == nil {
		for i, op := range b.Ops {
			if err := p.needs(ctx, op, results[:i]); err != nil {
				results[i] = Result{Err: err}
				continue
			}
			results[i] = p.execute(ctx, op, b.Promise)
		}
		return results
	}
	var open []int
	for i, op := range b.Ops {
		err := p.refuse(ctx, op)
		if err == nil {
			err = p.needs(ctx, op, results[:i])
		}
		if err != nil {
			results[i] = Result{Err: err}
			continue
		}
		open = append(open, i)
	}
	if len(open) > 0 {
		p.writeBatch(ctx, b, open, results)
	}
	return results
}

func (p *Provider) execute(ctx context.Context, op Operation, promise Promise) (r Result) {
	with := func(req WriteRequest) WriteRequest {
		if req.Promise == nil {
			req.Promise = promise
		}
		return req
	}
	switch {
	case op.Write != nil:
		r.Meta, r.Err = p.Write(ctx, with(*op.Write))
	case op.Patch != nil:
		r.Meta, r.Err = p.Patch(ctx, with(*op.Patch))
	case op.Delete != nil:
		r.Err = p.Delete(ctx, op.Delete.Path, op.Delete.IfVersion)
	case op.Object != nil:
		r.Object, r.Err = p.WriteObject(ctx, *op.Object)
	default:
		r.Err = p.refuse(ctx, op)
	}
	return r
}

// needs returns why op cannot be tried: an operation before it that it needs
// has failed, or is not before it.
func (p *Provider) needs(ctx context.Context, op Operation, before []Result) error {
	for _, n := range op.Needs {
		if n < 0 || n >= len(before) || before[n].Err != nil {
			return p.wrap(ctx, op.describe(), Errorf(Cancelled, "not written, because what it is made of was not"))
		}
	}
	return nil
}

// describe returns what op is called in an error, and what it sends.
func (op Operation) describe() call {
	switch {
	case op.Write != nil:
		return call{op: "write", path: op.Write.Path, sent: []secret.Value{op.Write.Value}}
	case op.Patch != nil:
		return call{op: "patch", path: op.Patch.Path, sent: []secret.Value{op.Patch.Value}}
	case op.Delete != nil:
		return call{op: "delete", path: op.Delete.Path}
	case op.Object != nil:
		return call{op: "write object", path: op.Object.Ref.Path}
	}
	return call{op: "batch"}
}

// refuse returns why op is not worth a call.
func (p *Provider) refuse(ctx context.Context, op Operation) error {
	c := op.describe()
	var err error
	switch {
	case op.Write != nil:
		err = p.checkSize(op.Write.Value)
	case op.Patch != nil && p.powers.Patcher == nil:
		return p.unsupported(c, "the platform cannot change single fields")
	case op.Patch != nil:
		err = p.checkSize(op.Patch.Value)
	case op.Object != nil && p.powers.ObjectDriver == nil:
		return p.unsupported(c, "the platform has no objects")
	case op.Delete == nil && op.Object == nil:
		err = Errorf(Invalid, "an operation of the batch is empty")
	}
	if err != nil {
		return p.wrap(ctx, c, err)
	}
	return nil
}

// sending is one batch on its way to the driver.
type sending struct {
	p       *Provider
	b       Batch
	c       call
	open    []int // operations to send, by index
	results []Result
}

// writeBatch sends the operations at the indexes open, and again those whose
// error passes.
func (p *Provider) writeBatch(ctx context.Context, b Batch, open []int, results []Result) {
	s := &sending{p: p, b: b, c: call{op: "write batch", path: b.Container}, open: open, results: results}
	for _, i := range open {
		s.c.sent = append(s.c.sent, b.Ops[i].describe().sent...)
	}
	s.b.Promise = s.c.watch(b.Promise)
	err := p.do(ctx, s.c, s.attempt)
	if err == nil {
		return
	}
	for _, i := range s.open {
		if s.results[i].Err == nil {
			one := b.Ops[i].describe()
			e := *p.wrap(ctx, s.c, err)
			e.Op, e.Path = one.op, one.path
			s.results[i] = Result{Err: &e}
		}
	}
}

func (s *sending) attempt(ctx context.Context) error {
	ops := make([]Operation, len(s.open))
	for n, i := range s.open {
		ops[n] = s.b.Ops[i]
		ops[n].Needs = s.positions(ops[n].Needs)
		s.results[i] = Result{}
	}
	b := s.b
	b.Ops = ops
	answers := s.p.powers.BatchWriter.WriteBatch(ctx, b)
	if len(answers) != len(ops) {
		return Errorf(Ambiguous, "the driver gave %d answers to %d operations", len(answers), len(ops))
	}
	var raws []*raw
	var texts []string
	for n, i := range s.open {
		s.results[i] = answers[n]
		if answers[n].Err == nil {
			continue
		}
		e, r := s.p.classify(ctx, ops[n].describe(), answers[n].Err)
		s.results[i].Err = e
		if r != nil {
			raws, texts = append(raws, r), append(texts, r.text, r.hint)
		}
	}
	// Any error of the batch may echo any of its values.
	sent := slices.Clone(s.c.sent)
	for _, r := range raws {
		sent = append(sent, r.sent...)
	}
	texts = scrub(texts, sent)
	for n, r := range raws {
		r.finish(texts[2*n : 2*n+2])
	}
	return s.passing()
}

// positions turns positions in the whole batch into those among the operations
// that are sent; what is not sent again has succeeded.
func (s *sending) positions(needs []int) []int {
	var out []int
	for _, need := range needs {
		if n := slices.Index(s.open, need); n >= 0 {
			out = append(out, n)
		}
	}
	return out
}

// passing narrows what is open to the operations worth another try, and
// returns an error while there are any.
func (s *sending) passing() error {
	var again []int
	var passing error
	for _, i := range s.open {
		if e, ok := s.results[i].Err.(*Error); ok && e.passes() {
			again, passing = append(again, i), e
		}
	}
	s.open = again
	return passing
}
