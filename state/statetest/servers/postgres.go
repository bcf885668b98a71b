package servers

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Postgres starts a PostgreSQL of its own and returns the connection string of
// its superuser, password included: postgres://USER:PASSWORD@127.0.0.1:PORT/postgres.
// The server asks for that password. It keeps nothing safe from a power cut.
func Postgres(l Life) string {
	l.Helper()
	bin := variable(l, PostgresVariable)
	// Not a folder of the test: those are closed to other users than its own.
	dir, err := os.MkdirTemp("", "coffer-postgres-")
	must(l, "postgres", err)
	l.Cleanup(func() { os.RemoveAll(dir) })
	const user = "coffer"
	secret, port := password(), freePorts(l, 1)[0]
	pwfile, data := filepath.Join(dir, "password"), filepath.Join(dir, "data")
	must(l, "postgres", os.WriteFile(pwfile, []byte(secret+"\n"), 0o644)) // the folder is closed

	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username="+user, "--pwfile="+pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "jit=off", "-c", "max_connections=1000", "-c", "timezone=GMT")
	unprivileged(l, dir, initdb, server)
	run(l, dir, "initdb", initdb)
	// SIGQUIT ends it at once, as SIGKILL would, but leaves no shared memory.
	p := startWith(l, dir, "postgres", server, syscall.SIGQUIT)
	p.await(l, "it takes connections", func() error { return postgresAnswers(port, user) })
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/postgres?sslmode=disable", user, secret, port)
}

// postgresAnswers opens a connection up to where the server asks for a password,
// which it does only when it takes connections.
func postgresAnswers(port int, user string) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	const protocol = 3 << 16
	body := binary.BigEndian.AppendUint32(nil, protocol)
	body = append(body, "user\x00"+user+"\x00database\x00postgres\x00\x00"...)
	message := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	if _, err := conn.Write(append(message, body...)); err != nil {
		return err
	}
	var kind [1]byte
	if _, err := conn.Read(kind[:]); err != nil {
		return err
	}
	if kind[0] != 'R' {
		return fmt.Errorf("it answers with the message %q", kind[0])
	}
	return nil
}
