package remote

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Check is one condition that a store was tried for.
type Check struct {
	Name string // "create twice", …
	Held bool
	// Needed: the safety of a state rests on it.
	Needed bool
	Detail string // what the store did instead
}

// UnsafeError means that a store does not enforce what the safety of a state
// rests on.
type UnsafeError struct {
	Place  string
	Checks []Check // those that did not hold
}

func (e *UnsafeError) Error() string {
	var failed []string
	for _, c := range e.Checks {
		failed = append(failed, c.Name+": "+c.Detail)
	}
	return fmt.Sprintf("%s does not enforce conditional writes, so two runs could overwrite each other's state (%s): use a store that does",
		e.Place, strings.Join(failed, "; "))
}

// racers is how many creators race in [Prove].
const racers = 20

// Prove tries on probes of its own whether the store enforces its conditions:
// create twice, stale replace, replace of what is not there, stale delete, and
// 20 racing creators of which one may win. It returns what it found, and
// [*UnsafeError] where something that is needed did not hold. id makes the
// probes' names unlike those of another run. The probes are removed.
func Prove(ctx context.Context, b Blobs, id string) ([]Check, error) {
	p := &prover{b: b, name: ProbePrefix + id, race: ProbePrefix + id + "-race"}
	err := p.all(ctx)
	p.clean(context.WithoutCancel(ctx))
	if err != nil {
		return p.checks, err
	}
	unsafe := &UnsafeError{Place: b.String()}
	for _, c := range p.checks {
		if c.Needed && !c.Held {
			unsafe.Checks = append(unsafe.Checks, c)
		}
	}
	if len(unsafe.Checks) > 0 {
		return p.checks, unsafe
	}
	return p.checks, nil
}

type prover struct {
	b          Blobs
	name, race string
	checks     []Check
}

func (p *prover) all(ctx context.Context) error {
	first, err := p.b.Put(ctx, p.name, []byte("first"), "")
	if err != nil {
		return err
	}
	if err := p.refused(ctx, "create twice", "first", func() error {
		_, err := p.b.Put(ctx, p.name, []byte("second"), "")
		return err
	}); err != nil {
		return err
	}
	now, err := p.b.Get(ctx, p.name)
	if err != nil {
		return err
	}
	if p.checks[0].Held && now.Tag != first {
		p.add("one tag a content", "the tag that a write returns is not the one that a read finds")
	}
	if _, err := p.b.Put(ctx, p.name, []byte("third"), now.Tag); err != nil {
		return err
	}
	if err := p.refused(ctx, "stale replace", "third", func() error {
		_, err := p.b.Put(ctx, p.name, []byte("fourth"), now.Tag)
		return err
	}); err != nil {
		return err
	}
	if err := p.refused(ctx, "stale delete", "third", func() error { return p.b.Delete(ctx, p.name, now.Tag) }); err != nil {
		return err
	}
	p.checks[len(p.checks)-1].Needed = false // nothing is deleted on the way
	if err := p.replaceMissing(ctx, now.Tag); err != nil {
		return err
	}
	return p.racing(ctx)
}

func (p *prover) add(name, detail string) {
	p.checks = append(p.checks, Check{Name: name, Held: detail == "", Needed: true, Detail: detail})
}

// refused records whether do was refused, and whether the probe still holds
// what it held. A store that cannot be reached tells nothing: that is an error.
func (p *prover) refused(ctx context.Context, name, holds string, do func() error) error {
	err := do()
	if !errors.Is(err, ErrConflict) && err != nil {
		return err
	}
	detail := ""
	if err == nil {
		detail = "it was done"
	}
	now, err := p.b.Get(ctx, p.name)
	switch {
	case errors.Is(err, ErrNotFound):
		detail = "it was done"
	case err != nil:
		return err
	case detail == "" && !bytes.Equal(now.Data, []byte(holds)):
		detail = "it was refused, and done all the same"
	}
	p.add(name, detail)
	return nil
}

func (p *prover) replaceMissing(ctx context.Context, tag string) error {
	_, err := p.b.Put(ctx, p.race, []byte("replaced"), tag)
	switch {
	case err == nil:
		p.add("replace of nothing", "it was created")
	case errors.Is(err, ErrConflict):
		p.add("replace of nothing", "")
	default:
		return err
	}
	return nil
}

func (p *prover) racing(ctx context.Context) error {
	if !p.checks[len(p.checks)-1].Held {
		p.race += "2" // the one before is there now
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		won  int
		errs []error
	)
	for i := range racers {
		wg.Go(func() {
			_, err := p.b.Put(ctx, p.race, fmt.Appendf(nil, "racer %d", i), "")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !errors.Is(err, ErrConflict):
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	switch {
	case won == 0 && len(errs) > 0:
		return errors.Join(errs...)
	case won == 1:
		p.add("racing creators", "")
	default:
		p.add("racing creators", fmt.Sprintf("%d of %d won", won, racers))
	}
	return nil
}

// clean removes the probes; what cannot be removed is a few bytes that do no
// harm.
func (p *prover) clean(ctx context.Context) {
	for _, name := range []string{p.name, p.race, strings.TrimSuffix(p.race, "2")} {
		if b, err := p.b.Get(ctx, name); err == nil {
			_ = p.b.Delete(ctx, name, b.Tag)
		}
	}
}

// Prove tries the conditions of the store, see [Prove].
func (s *Store) Prove(ctx context.Context) ([]Check, error) {
	id := make([]byte, 4)
	if _, err := io.ReadFull(s.o.Random, id); err != nil {
		return nil, err
	}
	return Prove(ctx, s.b, hex.EncodeToString(id))
}
