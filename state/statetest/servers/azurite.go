package servers

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
)

// Blobs is an Azure Blob Storage server with one account.
type Blobs struct {
	URL          string // of the account: http://127.0.0.1:PORT/ACCOUNT
	Account, Key string
}

// ConnectionString is what Azure's own clients take.
func (b Blobs) ConnectionString() string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s;", b.Account, b.Key, b.URL)
}

// Azurite starts an azurite in memory.
func Azurite(l Life) Blobs {
	l.Helper()
	port := freePorts(l, 1)[0]
	b := Blobs{Account: "coffertest", Key: base64.StdEncoding.EncodeToString([]byte(password()))}
	b.URL = local("http", port) + "/" + b.Account
	cmd := exec.Command(variable(l, AzuriteVariable), "--blobHost", "127.0.0.1", "--blobPort", strconv.Itoa(port),
		"--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry")
	cmd.Env = []string{"AZURITE_ACCOUNTS=" + b.Account + ":" + b.Key}
	start(l, l.TempDir(), "azurite", cmd).await(l, "it answers", func() error { return answers(b.URL) })
	return b
}

// answers makes one call and takes whatever status comes back.
func answers(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
