//go:build servers

package render_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/render"
)

// browser drives a headless Chromium by the DevTools protocol over two pipes:
// messages are JSON that ends with NUL.
type browser struct {
	t       *testing.T
	ctx     context.Context
	to      io.Writer
	session string
	next    int

	mu     sync.Mutex
	seen   []message // events, oldest first
	answer map[int]chan message
	arrive chan struct{} // one is in it when something was seen
	err    error
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
	SessionID string `json:"sessionId,omitempty"`
}

// newBrowser starts COFFER_TEST_CHROMIUM with one empty tab.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program := os.Getenv("COFFER_TEST_CHROMIUM")
	if program == "" {
		t.Fatal("COFFER_TEST_CHROMIUM is not set: internal/tools/chromium/build.sh prints a Chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	fromUs, toIt, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromIt, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, program, "--headless", "--remote-debugging-pipe", "--user-data-dir="+home, "--no-first-run", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home)
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // 3 and 4
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = fromUs.Close()
	_ = toUs.Close()
	b := &browser{t: t, ctx: ctx, to: toIt, answer: map[int]chan message{}, arrive: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(fromIt)
	}()
	t.Cleanup(func() {
		_ = toIt.Close() // it ends with the pipe
		<-read
		_ = cmd.Wait()
		cancel()
		_ = fromIt.Close()
		if t.Failed() {
			t.Logf("the browser said:\n%s", stderr.String())
		}
	})
	var tab struct {
		TargetID, SessionID string
	}
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &tab)
	b.call("Target.attachToTarget", map[string]any{"targetId": tab.TargetID, "flatten": true}, &tab)
	b.session = tab.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// read takes messages until the browser closes its pipe.
func (b *browser) read(from io.Reader) {
	r := bufio.NewReader(from)
	for {
		raw, err := r.ReadBytes(0)
		var m message
		if err == nil {
			err = json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), &m)
		}
		b.mu.Lock()
		switch {
		case err != nil:
			b.err = errors.Join(errors.New("the browser is gone"), err)
			for _, waiting := range b.answer {
				close(waiting)
			}
			b.answer = map[int]chan message{}
		case m.ID > 0 && b.answer[m.ID] != nil:
			b.answer[m.ID] <- m
			delete(b.answer, m.ID)
		default:
			b.seen = append(b.seen, m)
		}
		b.mu.Unlock()
		select {
		case b.arrive <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// call sends a command and waits for its answer.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.next++
	raw, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	if params == nil {
		raw = []byte("{}")
	}
	line, err := json.Marshal(message{ID: b.next, Method: method, Params: raw, SessionID: b.session})
	if err != nil {
		b.t.Fatal(err)
	}
	got := make(chan message, 1)
	b.mu.Lock()
	b.answer[b.next] = got
	b.mu.Unlock()
	if _, err := b.to.Write(append(line, 0)); err != nil {
		b.t.Fatal(err)
	}
	select {
	case m, ok := <-got:
		switch {
		case !ok:
			b.t.Fatalf("%s: %v", method, b.err)
		case m.Error != nil:
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		case result != nil:
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-b.ctx.Done():
		b.t.Fatalf("%s: no answer: %v", method, b.ctx.Err())
	}
}

// open loads a page from a file, and forgets what was seen before.
func (b *browser) open(write func(io.Writer) error) string {
	b.t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.t.TempDir(), "page.html")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	b.seen = nil
	b.mu.Unlock()
	at := (&url.URL{Scheme: "file", Path: path}).String()
	b.call("Page.navigate", map[string]any{"url": at}, nil)
	b.wait("Page.loadEventFired")
	return at
}

// wait returns when an event has been seen since the page was opened.
func (b *browser) wait(method string) {
	b.t.Helper()
	for {
		b.mu.Lock()
		for _, m := range b.seen {
			if m.Method == method {
				b.mu.Unlock()
				return
			}
		}
		err := b.err
		b.mu.Unlock()
		if err != nil {
			b.t.Fatalf("wait for %s: %v", method, err)
		}
		select {
		case <-b.arrive:
		case <-b.ctx.Done():
			b.t.Fatalf("no %s: %v", method, b.ctx.Err())
		}
	}
}

// quiet fails if the page asked for anything but itself, or said, threw, logged
// or asked something.
func (b *browser) quiet(at string) {
	b.t.Helper()
	b.eval("0") // what was sent before has arrived
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.seen {
		switch m.Method {
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			if err := json.Unmarshal(m.Params, &p); err != nil || p.Request.URL != at {
				b.t.Errorf("the page asks for %.200s", p.Request.URL)
			}
		case "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening",
			"Page.windowOpen", "Network.webSocketCreated", "Page.downloadWillBegin":
			b.t.Errorf("%s: %.300s", m.Method, m.Params)
		}
	}
}

// eval returns what an expression is in the page.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	return out.Result.Value
}

// is compares what an expression is in the page.
func (b *browser) is(expression string, want any) {
	b.t.Helper()
	if got := b.eval(expression); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

// press presses a key as a person does; text is what it types.
func (b *browser) press(key, text string) {
	b.t.Helper()
	code := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, "/": 191}[key]
	down := map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": code}
	if text != "" {
		down["text"] = text
	}
	b.call("Input.dispatchKeyEvent", down, nil)
	b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}, nil)
}

// TestPageInABrowser uses a page as a reviewer does: by mouse and by keys, in
// both colour schemes, on a narrow screen and on paper.
func TestPageInABrowser(t *testing.T) {
	b := newBrowser(t)
	at := b.open(planHTML(review()))
	const visible = `[...document.querySelectorAll(".row")].filter((r) => r.offsetParent).length`
	all := len(review().Changes)
	b.is(visible, all)

	b.press("Tab", "")
	b.is(`document.activeElement.className`, "skip")
	b.press("/", "/")
	b.is(`document.activeElement.id`, "search")
	b.is(`search.value`, "")
	b.call("Input.insertText", map[string]any{"text": "stripe SOURCE"}, nil)
	b.is(visible, 1)
	b.is(`shown.value`, fmt.Sprintf("1 of %d shown", all))
	b.press("Escape", "")
	b.is(visible, all)
	b.is(`document.activeElement === document.body`, true)
	b.press("/", "/")
	b.call("Input.insertText", map[string]any{"text": "nothing has this"}, nil)
	b.is(`none.hidden`, false)
	b.eval(`clear.click()`)
	b.is(visible, all)

	b.eval(`document.querySelector('.tile[data-filter="Conflict"]').click()`)
	b.is(visible, 4)
	b.is(`document.querySelector('.tile[aria-pressed="true"] b').textContent`, 4)
	b.eval(`document.querySelector('.tile[data-filter="Conflict"]').click()`)
	b.is(visible, all)
	for _, filter := range []struct {
		by, value string
		want      int
	}{{"by-action", "Delete", 2}, {"by-app", "old", 2}, {"by-env", "warehouse", 1}, {"by-store", "vault", 6}} {
		b.eval(fmt.Sprintf(`{ const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event("change")); }`, filter.by, filter.value))
		b.is(visible, filter.want)
		b.eval(`clear.click()`)
	}

	b.eval(`document.querySelector(".row summary").focus()`)
	b.press("Enter", "\r")
	b.is(`document.querySelector(".row").open`, true)
	b.press("Escape", "")
	b.is(`document.querySelector(".row").open`, false)
	b.eval(`toggle.click()`)
	b.is(`document.querySelectorAll(".row[open]").length`, all)
	b.eval(`toggle.click()`)
	b.is(`document.querySelectorAll(".row[open]").length`, 0)

	const paper = `getComputedStyle(document.body).backgroundColor`
	light := b.eval(paper)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	if b.eval(paper) == light {
		t.Error("a dark page looks like a light one")
	}
	b.eval(`toggle.click()`)
	for _, width := range []int{1280, 400} {
		b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
		b.is(`document.documentElement.scrollWidth <= innerWidth`, true)
		b.is(`innerWidth`, width)
	}
	b.eval(`toggle.click()`)
	var pdf struct{ Data []byte }
	b.call("Page.printToPDF", nil, &pdf)
	if !bytes.HasPrefix(pdf.Data, []byte("%PDF-")) {
		t.Error("it cannot be printed")
	}
	b.is(`document.querySelectorAll("details[open]").length`, 0)
	b.quiet(at)
}

// TestOtherPagesInABrowser: a rotation status can be filtered and searched as a
// plan can; what was found in a configuration is a page without any of that.
func TestOtherPagesInABrowser(t *testing.T) {
	b := newBrowser(t)
	at := b.open(func(w io.Writer) error { return render.RotationHTML(w, rotations(), render.HTMLOptions{}) })
	const visible = `[...document.querySelectorAll(".row")].filter((r) => r.offsetParent).length`
	all := len(rotations().Secrets)
	b.is(visible, all)
	b.is(`document.getElementById("by-store").offsetParent === null`, true)
	b.eval(`document.querySelector('.tile[data-filter="Overdue"]').click()`)
	b.is(visible, 2)
	b.eval(`clear.click()`) // and the search has the keys
	b.call("Input.insertText", map[string]any{"text": "regenerate SUN"}, nil)
	b.is(visible, 1)
	b.press("Escape", "")
	b.eval(`document.querySelector(".row summary").focus()`)
	b.press("Enter", "\r")
	b.is(`document.querySelector(".row").open`, true)
	for _, width := range []int{1280, 400} {
		b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
		b.is(`document.documentElement.scrollWidth <= innerWidth`, true)
		b.is(`document.getElementById("by-store").offsetParent === null`, true)
	}
	b.quiet(at)

	for _, f := range []*render.Findings{findings(), noFindings()} {
		at = b.open(func(w io.Writer) error { return render.DiagnosticsHTML(w, f) })
		b.is(`document.querySelectorAll(".findings > li").length`, len(f.Diagnostics))
		b.is(`document.documentElement.scrollWidth <= innerWidth`, true)
		b.is(`document.querySelectorAll("button, form").length`, 0)
		b.quiet(at)
	}
}

// TestHostilePagesInABrowser: no text becomes an element, an attribute or a
// request in a real browser.
func TestHostilePagesInABrowser(t *testing.T) {
	b := newBrowser(t)
	table, err := json.Marshal(pageElements)
	if err != nil {
		t.Fatal(err)
	}
	foreign := `(() => {
		const ours = ` + string(table) + `, bad = [];
		for (const e of document.querySelectorAll("*")) {
			const may = ours[e.localName];
			if (may === undefined) bad.push(e.localName);
			else for (const a of e.attributes) if (!may.split(" ").includes(a.name) && !(a.name === "class" && e === document.documentElement)) bad.push(e.localName + " " + a.name);
		}
		return bad.slice(0, 5).join(", ");
	})()`
	var all []string
	for _, h := range hostileStrings() {
		if len(h) < 1<<10 {
			all = append(all, h)
		}
	}
	for len(all) > 0 {
		n := min(len(all), 40)
		for name, write := range mixedPages(all[:n]) {
			at := b.open(write)
			if bad := b.eval(foreign); bad != "" {
				t.Errorf("%s, from %.40q on: %v", name, all[0], bad)
			}
			if name == "findings" { // nothing to do there
				b.quiet(at)
				continue
			}
			b.eval(`toggle.click(); search.value = "a"; search.dispatchEvent(new Event("input")); document.querySelectorAll(".tile").forEach((t) => t.click())`)
			b.quiet(at)
		}
		all = all[n:]
	}
	// The check sees what it looks for.
	b.open(func(w io.Writer) error {
		_, err := io.WriteString(w, `<p onclick="x">a<img alt="">`)
		return err
	})
	if bad := fmt.Sprint(b.eval(foreign)); !strings.Contains(bad, "p onclick") || !strings.Contains(bad, "img") {
		t.Errorf("the check finds %q", bad)
	}
}
