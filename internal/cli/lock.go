package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/cofferhq/coffer/state"
)

// lock takes the state lock, waiting as long as -lock-timeout says, and says
// for whom it waits.
func (inv *invocation) lock(ctx context.Context, backend state.Store, operation string) (state.Session, error) {
	who := inv.lockInfo(operation)
	try := func(wait time.Duration) (state.Session, error) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		return backend.Lock(ctx, who)
	}
	session, err := try(0)
	var locked *state.LockedError
	if errors.As(err, &locked) && inv.lockTimeout > 0 {
		inv.say("Waiting up to %s: the state is locked by %s.", inv.lockTimeout, holder(locked.Holder))
		session, err = try(inv.lockTimeout)
	}
	if errors.As(err, &locked) && locked.Holder.ID != "" {
		return nil, fmt.Errorf("%w; if it hangs and cannot be stopped: coffer state unlock %s", err, locked.Holder.ID)
	}
	return session, err
}

func holder(h state.LockInfo) string {
	if h.ID == "" {
		return "another process"
	}
	return fmt.Sprintf("%s (%s, process %d)", h.Who, h.Operation, h.PID)
}

// lockInfo says who asks for the lock, for people.
func (inv *invocation) lockInfo(operation string) state.LockInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return state.LockInfo{Operation: operation, Who: inv.user() + "@" + host, PID: os.Getpid(), Since: inv.Now().UTC()}
}

func (inv *invocation) user() string {
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if u := inv.Getenv(name); u != "" {
			return u
		}
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid" + strconv.Itoa(os.Getuid())
}
