package servers

import (
	"fmt"
	"os/exec"
	"strings"
)

// FakeGCS starts a fake-gcs-server in memory and returns its address,
// http://127.0.0.1:PORT. It asks for no credentials.
//
// It is not as strict as the real service: ifGenerationMatch counts for an
// upload of uploadType=multipart only; a media upload, a read and a delete
// ignore it.
func FakeGCS(l Life) string {
	l.Helper()
	address := local("http", freePorts(l, 1)[0])
	cmd := exec.Command(variable(l, FakeGCSVariable), strings.TrimPrefix(address, "http://"))
	start(l, l.TempDir(), "fakegcs", cmd).await(l, "it answers", func() error {
		return answers(fmt.Sprintf("%s/storage/v1/b", address))
	})
	return address
}
