package cli

import (
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// person is who sits at the terminal, for a sign-in that takes a browser.
// Without a terminal it is nobody: no process is started for a pull request.
func (inv *invocation) person() providers.Person {
	if !inv.canAsk() {
		return providers.Person{}
	}
	return providers.Person{Show: func(text string) { inv.say("%s", text) }, Open: inv.openBrowser}
}

// openBrowser starts the person's browser and does not wait for it. The page is
// the one of the sign-in service, and holds no secret. What the process is given
// of our environment is what a browser needs: tokens and values of secrets are
// in ours.
func (inv *invocation) openBrowser(page string) error {
	name, args := "xdg-open", []string{page}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", page}
	}
	cmd := exec.Command(name, args...)
	cmd.Env = browserEnv(inv.Vars, runtime.GOOS)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // it ends when it will
	return nil
}

// browserEnv returns the variables that a browser needs, and never nil, which
// would be all of them.
func browserEnv(vars map[string]string, goos string) []string {
	env := []string{}
	for name, value := range vars {
		known := name
		if goos == "windows" { // where names have no case
			known = strings.ToUpper(name)
		}
		prefixed := strings.HasPrefix(known, "XDG_") || strings.HasPrefix(known, "LC_")
		if prefixed || slices.Contains(browserVariables(goos), known) {
			env = append(env, name+"="+value)
		}
	}
	slices.Sort(env)
	return env
}

// browserVariables are those by which a browser finds programs, its profile, the
// screen and the one that runs already.
func browserVariables(goos string) []string {
	if goos == "windows" {
		return []string{
			"PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP", "USERNAME", "USERDOMAIN",
			"USERPROFILE", "HOMEDRIVE", "HOMEPATH", "PUBLIC", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "ALLUSERSPROFILE",
			"PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMW6432", "SESSIONNAME", "BROWSER",
		}
	}
	return []string{
		"PATH", "HOME", "USER", "LANG", "TMPDIR", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS",
	}
}
