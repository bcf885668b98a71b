package cli

import (
	"os/exec"
	"runtime"

	"github.com/cofferhq/coffer/providers"
)

// person is who sits at the terminal, for a sign-in that takes a browser.
// Without a terminal it is nobody: no process is started for a pull request.
func (inv *invocation) person() providers.Person {
	if !inv.canAsk() {
		return providers.Person{}
	}
	return providers.Person{Show: func(text string) { inv.say("%s", text) }, Open: openBrowser}
}

// openBrowser starts the person's browser and does not wait for it. The page is
// the one of the sign-in service, and holds no secret.
func openBrowser(page string) error {
	name, args := "xdg-open", []string{page}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", page}
	}
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // it ends when it will
	return nil
}
