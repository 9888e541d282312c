# Commands for people and for CI. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := .tools/bin/uv
UV_VERSION := 0.13.9
STORY ?= promote
KEEP ?=
CLUSTER ?= devcluster

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: check-machine
check-machine:
	@$(PYTHON) devcluster/check_machine.py

$(UV):
	@$(PYTHON) -m venv .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

# The virtual environment: exactly the pinned and hashed set, plus this repository, editable.
$(VENV)/.ready: requirements/dev.txt pyproject.toml | $(UV)
	@echo "Installing the Python environment into $(VENV) …"
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.PHONY: install
install: check-machine $(VENV)/.ready ## Install everything the other commands need

.PHONY: demo
demo: install ## The whole loop on real data (STORY=promote|bad-candidate, KEEP=1 leaves the cluster up)
	@$(BIN)/python -m demo --story $(STORY) --cluster $(CLUSTER) $(if $(KEEP),--keep)

# The tests call kubectl as people do; where it is not installed, it is built from the control plane's release.
.PHONY: kubectl
kubectl:
	@command -v kubectl >/dev/null || test -x .tools/bin/kubectl || { \
	  echo "Building kubectl (about two minutes) …"; cd devcluster/kubectl && CGO_ENABLED=0 go build -trimpath \
	  -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3" \
	  -o ../../.tools/bin/kubectl k8s.io/kubernetes/cmd/kubectl; }

test test-unit test-perf: export PATH := $(PATH):$(CURDIR)/.tools/bin

.PHONY: test
test: install kubectl test-servers ## All tests, on a real control plane and a real PostgreSQL
	@$(BIN)/python -m pytest tests/unit -n 2 -q
	@$(BIN)/python -m pytest tests --ignore=tests/unit --ignore=tests/perf

.PHONY: test-unit
test-unit: install kubectl ## The fast tests: no cluster, no database
	@$(BIN)/python -m pytest tests/unit -n 2

.PHONY: test-perf
test-perf: install kubectl ## Measure the operator on a real control plane
	@$(BIN)/python -m pytest tests/perf -s --timeout=1800

.PHONY: verify
verify: install ## Generated files are current; style, types and import rules hold
	@$(BIN)/python -m retrainer.crdgen . && $(BIN)/python manifests/argocd/build.py
	@changes="$$(git status --porcelain -- crds docs/reference manifests/argocd)"; if [ -n "$$changes" ]; then \
	  echo "Generated files differ from what is committed; run 'make generate' and commit:"; echo "$$changes"; \
	  git --no-pager diff --stat -- crds docs/reference manifests/argocd; exit 1; fi
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/tmp/retrainer-imports.$$$$ || { cat /tmp/retrainer-imports.$$$$; exit 1; }; \
	  tail -3 /tmp/retrainer-imports.$$$$; rm -f /tmp/retrainer-imports.$$$$

.PHONY: generate
generate: install ## Write crds/, docs/reference/ and Argo CD's ConfigMap from their sources
	@$(BIN)/python -m retrainer.crdgen . && $(BIN)/python manifests/argocd/build.py

.PHONY: cluster
cluster: install ## Start a Kubernetes control plane with a node agent and a gateway
	@$(BIN)/python -m devcluster up

.PHONY: cluster-down
cluster-down: ## Stop it
	@$(BIN)/python -m devcluster down

.PHONY: images
images: ## Build the container images (needs a container engine)
	@command -v docker >/dev/null && docker info >/dev/null 2>&1 || { \
	  echo "make images needs a running container engine (docker); none answers on this machine."; exit 1; }
	docker build -f operator/Dockerfile -t retrainer/operator:0.1.0 .
	docker build -f trainer-image/Dockerfile -t retrainer/trainer:0.1.0 .

# Pins with hashes and without the addresses of package indexes.
COMPILE = $(UV) pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --quiet

.PHONY: requirements
requirements: $(UV) ## Pin the dependencies anew
	@$(COMPILE) --extra operator -o requirements/operator.txt
	@$(COMPILE) --extra trainer-tabular -o requirements/trainer-tabular.txt
	@$(COMPILE) --extra trainer-tabular --extra trainer-text -o requirements/trainer-text.txt
	@$(COMPILE) --extra operator --extra trainer-tabular --extra dev -o requirements/dev.txt

# Servers and tools that the tests start; on Debian and Ubuntu as root they are installed, elsewhere asked for.
DEBIAN_PACKAGES = postgresql:/usr/lib/postgresql/*/bin/initdb prometheus:/usr/bin/prometheus faketime:/usr/bin/faketime

.PHONY: test-servers
test-servers:
	@missing=""; for pair in $(DEBIAN_PACKAGES); do \
	  ls $${pair#*:} >/dev/null 2>&1 || command -v "$$(basename $${pair#*:})" >/dev/null || missing="$$missing $${pair%%:*}"; \
	done; if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing for the tests:$$missing …"; apt-get -qq update; \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	  else echo "The tests need$$missing (Debian, Ubuntu: sudo apt-get install$$missing)."; exit 1; fi; fi
