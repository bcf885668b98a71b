package servers

import (
	"net/http"
	"strings"
	"time"
)

// FreshNamespace makes a namespace that no other test has, "shop-k2v7q3ma" for
// "shop", with the service account "default" that a cluster's own controller
// would make, and returns its name.
func (c *Cluster) FreshNamespace(name string) string {
	c.life.Helper()
	fresh := name + "-" + strings.ToLower(password()[:8])
	c.Namespace(fresh)
	c.Must(http.MethodPost, "/api/v1/namespaces/"+fresh+"/serviceaccounts",
		map[string]any{"metadata": map[string]any{"name": "default"}})
	return fresh
}

// Condition is one of the conditions in an object's status.
type Condition struct {
	Status          string // "True", "False", "Unknown"
	Reason, Message string
}

// Condition returns the condition of that type of the object at path, such as
// "/apis/external-secrets.io/v1/namespaces/shop/externalsecrets/db", and false
// where the object or the condition is not there.
func (c *Cluster) Condition(path, kind string) (Condition, bool) {
	c.life.Helper()
	var object struct {
		Status struct {
			Conditions []struct {
				Type string
				Condition
			}
		}
	}
	c.read(c.life, path, &object)
	for _, condition := range object.Status.Conditions {
		if condition.Type == kind {
			return condition.Condition, true
		}
	}
	return Condition{}, false
}

// AwaitCondition waits until the condition has the status, and returns it. A
// condition that was written before the object's last change counts too.
func (c *Cluster) AwaitCondition(path, kind, status string) Condition {
	c.life.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for {
		last, _ := c.Condition(path, kind)
		if last.Status == status {
			return last
		}
		select {
		case <-end:
			c.life.Fatalf("kube-apiserver: %s: waited %v until %s is %s: %+v", path, deadline, kind, status, last)
		case <-tick.C:
		}
	}
}

// reserve makes the namespace of a controller, which no other may have made: two
// controllers of a kind would answer for the same objects.
func (c *Cluster) reserve(l Life, namespace string) {
	l.Helper()
	status, answer := c.Do(http.MethodPost, "/api/v1/namespaces", c.AdminToken,
		map[string]any{"metadata": map[string]any{"name": namespace}})
	switch status {
	case http.StatusCreated:
	case http.StatusConflict:
		l.Fatalf("the cluster has a controller in %s already: share it, with a Package", namespace)
	default:
		l.Fatalf("kube-apiserver: namespace %s: status %d: %v", namespace, status, answer["message"])
	}
}
