module github.com/cofferhq/coffer/internal/tools/fakegcs

go 1.26.0

require github.com/fsouza/fake-gcs-server v1.52.2

require (
	cloud.google.com/go/compute/metadata v0.6.0 // indirect
	cloud.google.com/go/pubsub v1.45.3 // indirect
	cloud.google.com/go/storage v1.50.0 // indirect
	github.com/felixge/httpsnoop v1.0.4 // indirect
	github.com/google/renameio/v2 v2.0.0 // indirect
	github.com/gorilla/handlers v1.5.2 // indirect
	github.com/gorilla/mux v1.8.1 // indirect
	github.com/pkg/xattr v0.4.10 // indirect
	golang.org/x/oauth2 v0.26.0 // indirect
	golang.org/x/sys v0.30.0 // indirect
	google.golang.org/api v0.215.0 // indirect
)

// Google's own clients, which a server on one machine never calls and which
// would be most of the build.
replace (
	cloud.google.com/go/pubsub => ./stub/pubsub
	cloud.google.com/go/storage => ./stub/storage
	google.golang.org/api => ./stub/api
)
