//go:build unix

package canarytest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/providers/providertest/canary"
)

// sinks keeps everything that came out of the program, once each, until all
// values are known that must not be in it: what is generated can only be
// learned afterwards.
type sinks struct {
	mu    sync.Mutex
	runs  int
	seen  map[string]bool
	last  map[string][]byte // the latest content of each file
	texts []text
	// values must not be found.
	values []canary.Canary
}

// text is one output or file.
type text struct {
	sink  string // what kind of place: "stdout", "journal", …
	where string // after which command
	file  string // in which file
	data  []byte
}

// overlap is how much of a file that only grew is kept again with what is new:
// more than the longest form of any value.
const overlap = 32 << 10

func newSinks() *sinks { return &sinks{seen: map[string]bool{}, last: map[string][]byte{}} }

func (s *sinks) add(sink, where string, data []byte) { s.addFile(sink, "", where, data) }

func (s *sinks) addFile(sink, file, where string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	whole := data
	if last := s.last[sink+file]; file != "" && len(last) > 0 && bytes.HasPrefix(data, last) {
		data = data[max(0, len(last)-overlap):] // the rest was kept before
	}
	s.last[sink+file] = whole
	sum := sha256.Sum256(data)
	if key := sink + file + string(sum[:]); !s.seen[key] {
		s.seen[key] = true
		s.texts = append(s.texts, text{sink, where, file, data})
	}
}

// forget drops what was kept of a file with a content that belongs there.
func (s *sinks) forget(file string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = slices.DeleteFunc(s.texts, func(x text) bool { return x.file == file && bytes.Equal(x.data, content) })
}

func (s *sinks) secret(values ...canary.Canary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append(s.values, values...)
}

func (s *sinks) ran() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
}

// kinds returns the kinds of places that something was collected from.
func (s *sinks) kinds() []string {
	var all []string
	for _, x := range s.texts {
		if !slices.Contains(all, x.sink) {
			all = append(all, x.sink)
		}
	}
	slices.Sort(all)
	return all
}

// counters are numbers that count something, and so may well be a PIN, forwards
// or backwards.
var counters = regexp.MustCompile(`"(seq|pid|serial|records|anchor)": ?"?\d+|process \d+|serial=\d+|Anchor: \d+|\d+ records?`)

// leaks searches every text for every value and calls report with each hit.
// Calls come one at a time.
func (s *sinks) leaks(report func(x text, hit canary.Hit)) (size int) {
	finder := canary.NewFinder(s.values...)
	next := make(chan text)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for x := range next {
				hits := finder.Find(counters.ReplaceAll(x.data, nil))
				s.mu.Lock()
				size += len(x.data)
				for _, hit := range hits {
					report(x, hit)
				}
				s.mu.Unlock()
			}
		})
	}
	for _, x := range s.texts {
		next <- x
	}
	close(next)
	wg.Wait()
	return size
}

// tree collects every file of a world except those that the test put there
// itself and that are still as it put them.
func (w *world) tree(where string) {
	w.t.Helper()
	err := filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) { // a temporary file of a running apply
				return nil
			}
			return err
		}
		name := w.name(path)
		w.sinks.add("file names", where, []byte(name))
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !w.isPlanted(name, data) {
			w.sinks.addFile(kindOf(name), name, where, data)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// kindOf sorts the files of a world into the sinks of the list.
func kindOf(name string) string {
	base := filepath.Base(name)
	switch top, _, _ := strings.Cut(name, "/"); {
	case top != "project":
		return top // home, tmp, xdg-config, …
	case strings.HasSuffix(base, ".journal"):
		return "journal"
	case strings.HasSuffix(base, ".lock"):
		return "lock"
	case strings.HasSuffix(base, ".backup"):
		return "backup"
	case strings.HasPrefix(base, "coffer.state.json"):
		return "state"
	case strings.HasSuffix(base, ".plan"):
		return "plan file"
	case base == "audit.log":
		return "audit log"
	case strings.HasSuffix(base, ".hcl"):
		return "configuration"
	case strings.HasPrefix(name, "project/secrets/"), strings.HasPrefix(name, "project/copies/"):
		return "encrypted file"
	}
	return "project folder"
}

func (w *world) name(path string) string {
	rel, err := filepath.Rel(w.root, path)
	if err != nil {
		w.t.Fatal(err)
	}
	return filepath.ToSlash(rel)
}

func sumOf(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
