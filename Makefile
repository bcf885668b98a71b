# Coffer needs Go and make, nothing else. What is built lands in build/; real
# servers and tools, which only tests need, in a cache outside the tree.

GO    ?= go
TAGS  := urfave_cli_no_docs
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags "-s -w"

# How long each fuzz target runs.
FUZZTIME ?= 10s

# Runs a command with the paths of the real servers and tools of the tests, which
# are built or fetched once, into a cache outside the tree.
SERVERS = GO="$(GO)" internal/tools/servers.sh

# Builds and tests a release; a module of its own, for its libraries are not Coffer's.
RELEASE := cd internal/tools/release && CGO_ENABLED=0 $(GO)

.PHONY: help build quickstart test test-servers openbao check bench bench-peers soak release release-check clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

build: ## build/coffer
	$(BUILD) -o build/coffer .

quickstart: build ## init, plan, apply, a change by hand, drift: in a folder of its own
	COFFER=$(CURDIR)/build/coffer examples/quickstart/run.sh

test: ## every test that runs anywhere, then each fuzz target for $(FUZZTIME)
	$(GO) test -tags $(TAGS) ./...
	$(RELEASE) test ./...
	internal/tools/fuzz.sh $(FUZZTIME)

test-servers: ## the tests that need real servers (OpenBao, PostgreSQL, a Kubernetes API server and more), which are built first
	$(SERVERS) internal/tools/tagged.sh servers
	$(RELEASE) test -count 1 -tags release -run Real ./...

openbao: ## an OpenBao to try things on, at http://127.0.0.1:8200 with the token "root"
	internal/tools/openbao/dev.sh

check: build/tools/staticcheck build/tools/gofumpt ## formatting, vet, staticcheck
	@unformatted="$$(build/tools/gofumpt -l .)"; \
	if [ -n "$$unformatted" ]; then printf 'not formatted (gofumpt -w):\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet -tags $(TAGS),servers,soak,peers ./...
	build/tools/staticcheck -tags $(TAGS),servers,soak,peers ./...
	$(RELEASE) mod tidy -diff
	$(RELEASE) vet -tags release ./...
	cd internal/tools/release && CGO_ENABLED=0 $(CURDIR)/build/tools/staticcheck -tags release ./...

bench: build ## size and start time of the binary, then the benchmarks
	internal/tools/bench.sh build/coffer
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem -timeout 60m ./...

bench-peers: build ## Coffer beside a bare HTTP client, against a real OpenBao and a real Kubernetes API server
	COFFER_TEST_BAO="$$(internal/tools/openbao/build.sh)" COFFER_TEST_ETCD="$$(internal/tools/etcd/build.sh)" \
		COFFER_TEST_KUBEAPISERVER="$$(internal/tools/kubeapiserver/build.sh)" COFFER_TEST_BINARY=$(CURDIR)/build/coffer $(GO) test -tags $(TAGS),peers -v -count 1 -timeout 60m ./internal/peers

soak: ## the long versions of the tests, for a night
	$(SERVERS) $(GO) test -tags $(TAGS),servers,soak -timeout 0 ./...
	internal/tools/fuzz.sh 10m

release: ## archives, packages, image, SBOM and checksums in build/release; VERSION=… instead of git's tag
	$(RELEASE) run . -go "$(GO)" -root "$(CURDIR)" -out "$(CURDIR)/build/release" -tags $(TAGS) \
		-version "$(VERSION)" -commit "$(COMMIT)" -epoch "$(SOURCE_DATE_EPOCH)"

release-check: ## two releases of the last commit, in two places, compared bit by bit; compiles everything twice
	internal/tools/release/check.sh

build/tools/staticcheck: internal/tools/lint/go.mod internal/tools/lint/go.sum
	cd internal/tools/lint && $(GO) build -o $(CURDIR)/$@ honnef.co/go/tools/cmd/staticcheck

build/tools/gofumpt: internal/tools/lint/go.mod internal/tools/lint/go.sum
	cd internal/tools/lint && $(GO) build -o $(CURDIR)/$@ mvdan.cc/gofumpt

clean: ## remove build/
	rm -rf build
