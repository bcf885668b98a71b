package crashfs

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// maxSubsets is up to how many unsynced changes of names every combination is
// tried; beyond that only every prefix.
const maxSubsets = 8

// Survivors returns every file system that a crash now may leave behind, each
// once, each with all of its content durable. They share nothing with f.
func (f *FS) Survivors() []*FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*FS
	seen := map[string]bool{}
	for names := range f.namings() {
		for contents := range choices(names) {
			key := fingerprint(contents)
			if seen[key] {
				continue
			}
			seen[key] = true
			survivor := New()
			survivor.temps = f.temps
			for path, data := range contents {
				survivor.Put(path, data)
			}
			all = append(all, survivor)
		}
	}
	return all
}

// namings yields which names may be there.
func (f *FS) namings() iter.Seq[map[string]*inode] {
	return func(yield func(map[string]*inode) bool) {
		n := len(f.pending)
		keep := func(kept func(i int) bool) bool {
			names := maps.Clone(f.synced)
			for i, c := range f.pending {
				if kept(i) {
					apply(names, c)
				}
			}
			return yield(names)
		}
		if n > maxSubsets {
			for prefix := range n + 1 {
				if !keep(func(i int) bool { return i < prefix }) {
					return
				}
			}
			return
		}
		for set := range 1 << n {
			if !keep(func(i int) bool { return set&(1<<i) != 0 }) {
				return
			}
		}
	}
}

// choices yields the contents that files of these names may have.
func choices(names map[string]*inode) iter.Seq[map[string][]byte] {
	paths := slices.Sorted(maps.Keys(names))
	variants := make([][][]byte, len(paths))
	for i, path := range paths {
		variants[i] = names[path].variants()
	}
	return func(yield func(map[string][]byte) bool) {
		var choose func(i int, chosen map[string][]byte) bool
		choose = func(i int, chosen map[string][]byte) bool {
			if i == len(paths) {
				return yield(maps.Clone(chosen))
			}
			for _, data := range variants[i] {
				chosen[paths[i]] = data
				if !choose(i+1, chosen) {
					return false
				}
			}
			return true
		}
		choose(0, map[string][]byte{})
	}
}

// variants returns what of the file's unsynced writes may have reached the
// disk: each prefix of them, the last cut off or zeros from some byte on, and
// each one as zeros although a later one is there.
func (n *inode) variants() [][]byte {
	all := [][]byte{n.synced}
	data := n.synced
	for _, w := range n.pending {
		for _, cut := range cuts(len(w.data)) {
			torn := write{at: w.at, data: w.data[:cut]}
			zeros := write{at: w.at, data: append(slices.Clone(w.data[:cut]), make([]byte, len(w.data)-cut)...)}
			all = append(all, torn.on(data), zeros.on(data))
		}
		data = w.on(data)
		all = append(all, data)
	}
	for lost := range n.pending {
		data := n.synced
		for i, w := range n.pending {
			if i == lost {
				w.data = make([]byte, len(w.data))
			}
			data = w.on(data)
		}
		all = append(all, data)
	}
	return all
}

// cuts are the places where a write of n bytes may end: near its ends, in the
// middle and at the blocks of a disk.
func cuts(n int) []int {
	at := []int{0, 1, n / 2, n - 2, n - 1}
	for block := 512; block < n && block <= 8*512; block += 512 {
		at = append(at, block)
	}
	at = slices.DeleteFunc(at, func(c int) bool { return c < 0 || c >= n })
	slices.Sort(at)
	return slices.Compact(at)
}

func fingerprint(contents map[string][]byte) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(contents)) {
		fmt.Fprintf(&b, "%q %q\n", path, contents[path])
	}
	return b.String()
}
