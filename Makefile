# Coffer needs Go and make, nothing else. What is built lands in build/; the
# real sops tool, which only tests need, in a cache outside the tree.

GO    ?= go
TAGS  := urfave_cli_no_docs
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags "-s -w"

# How long each fuzz target runs.
FUZZTIME ?= 10s

.PHONY: help build quickstart test test-servers check bench soak clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

build: ## build/coffer
	$(BUILD) -o build/coffer .

quickstart: build ## init, plan, apply, a change by hand, drift: in a folder of its own
	COFFER=$(CURDIR)/build/coffer examples/quickstart/run.sh

test: ## every test that runs anywhere, then each fuzz target for $(FUZZTIME)
	$(GO) test -tags $(TAGS) ./...
	internal/tools/fuzz.sh $(FUZZTIME)

test-servers: ## the tests that need the real sops tool, which is built first
	COFFER_TEST_SOPS="$$(internal/tools/sops/build.sh)" internal/tools/tagged.sh servers

check: build/tools/staticcheck build/tools/gofumpt ## formatting, vet, staticcheck
	@unformatted="$$(build/tools/gofumpt -l .)"; \
	if [ -n "$$unformatted" ]; then printf 'not formatted (gofumpt -w):\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet -tags $(TAGS),servers,soak ./...
	build/tools/staticcheck -tags $(TAGS),servers,soak ./...

bench: build ## size and start time of the binary, then the benchmarks
	internal/tools/bench.sh build/coffer
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem -timeout 60m ./...

soak: ## the long versions of the tests, for a night
	COFFER_TEST_SOPS="$$(internal/tools/sops/build.sh)" $(GO) test -tags $(TAGS),servers,soak -timeout 0 ./...
	internal/tools/fuzz.sh 10m

build/tools/staticcheck: internal/tools/lint/go.mod internal/tools/lint/go.sum
	cd internal/tools/lint && $(GO) build -o $(CURDIR)/$@ honnef.co/go/tools/cmd/staticcheck

build/tools/gofumpt: internal/tools/lint/go.mod internal/tools/lint/go.sum
	cd internal/tools/lint && $(GO) build -o $(CURDIR)/$@ mvdan.cc/gofumpt

clean: ## remove build/
	rm -rf build
