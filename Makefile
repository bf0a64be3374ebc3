# The targets and what they need: make help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZTIME ?= 30s
TESTFLAGS ?=
IMAGES ?=
GALLERYFLAGS ?=
# ./... passes by what lies in testdata.
PROGRAMS = $(patsubst %/,./%,$(sort $(dir $(wildcard testdata/*/*.go testdata/*/*/*.go */*/testdata/*/*.go))))
export CGO_ENABLED = 0

.DEFAULT_GOAL := build
.PHONY: build test lint fuzz bench gallery demo help

build: ## bin/slim, one static binary
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/slim ./cmd/slim

test: ## set the machine up (as root), build the test images once, run every test
	testdata/setup
	testdata/images/build >/dev/null
	go test -timeout 20m $(TESTFLAGS) ./...

lint: ## gofmt and go vet, the programs of testdata too
	@bad=$$(gofmt -l .) && if [ -n "$$bad" ]; then echo "not as gofmt has it:" $$bad >&2; exit 1; fi
	go vet ./... $(PROGRAMS)

fuzz: ## every fuzz target for FUZZTIME each (30s)
	@set -e; for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: build ## slim every image of testdata/images: a table of sizes and times
	testdata/setup
	go run ./testdata/bench

gallery: build ## slim the images with a full file, as root: sizes against hand-written ones, checks passed (IMAGES, GALLERYFLAGS)
	testdata/setup
	go run ./testdata/gallery $(GALLERYFLAGS) $(IMAGES)

demo: build ## slim a fat image made from this machine's Go, without Docker (as root)
	@go run ./testdata/demo

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10
