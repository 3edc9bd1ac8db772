# `make` lists what there is. Every target does its own set-up and can be run again at any time.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

CLUSTER := docker/cluster.sh
INSTALL := docker/install-postgres.sh
BIN := .venv/bin
WORKERS ?= 2
TESTS ?= tests
ARGS ?=

.PHONY: help demo up down psql dsn status migrate revision test test-docker lint format bench docs lock clean shim \
        release-check release-dump install install-demo install-tests start

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: install-demo up ## from nothing to answers: the PostgreSQL manual, searched by meaning
	@LOCI_DSN="$$($(CLUSTER) dsn)" $(BIN)/python python/tools/demo.py $(ARGS)

up: install .venv/.stamp start ## install what is missing, start the private cluster, migrate it
	@LOCI_DSN="$$($(CLUSTER) dsn)" $(BIN)/alembic upgrade head

shim: up ## stream answers over HTTP for the private cluster (LOCI_GATEWAY_URL=http://host:4000/v1 LOCI_GATEWAY_KEY=...)
	@LOCI_DSN="$$($(CLUSTER) dsn)" $(BIN)/python python/tools/shim.py $(ARGS)

down: ## stop the private cluster; its data stays
	@$(CLUSTER) stop

psql: ## open psql as superuser (ARGS='-c "select ..."')
	@PSQLRC="$(CURDIR)/.psqlrc" psql "$$($(CLUSTER) dsn)" $(ARGS)

dsn: ## print the connection URI of the superuser (make -s dsn)
	@$(CLUSTER) dsn

status: ## say whether the private cluster runs
	@$(CLUSTER) status || true

migrate: .venv/.stamp ## bring the running database to the newest version
	@LOCI_DSN="$$($(CLUSTER) dsn)" $(BIN)/alembic upgrade head

revision: .venv/.stamp ## make a migration (M="what it does"), or stamp the newest after a change of sql/
	@$(BIN)/python python/tools/revision.py $(if $(M),"$(M)")

test: install-tests .venv/.stamp ## run the test suite (TESTS=tests/unit ARGS="-k name" WORKERS=2)
	@$(BIN)/pytest $(TESTS) --ignore=tests/docker -n $(WORKERS) --dist loadfile $(ARGS)

test-docker: .venv/.stamp ## build the image and run the suite against it
	@docker/test-docker.sh $(ARGS)

lint: install-tests .venv/.stamp ## ruff, mypy, sqlfluff, shellcheck, and the laws of the catalogue
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes $(WORKERS) --disable-progress-bar sql
	shellcheck $(wildcard docker/*.sh tests/*.sh tests/*/*.sh) .ci/run
	$(BIN)/pytest tests/catalogue -q

format: .venv/.stamp ## put Python code into shape
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: up ## run the benchmarks (NAME=one of them)
	@LOCI_DSN="$$($(CLUSTER) dsn)" $(BIN)/python -m benchmarks $(NAME) $(ARGS)

docs: up ## generate docs/reference.md from the catalogue
	@LOCI_DSN="$$($(CLUSTER) dsn)" $(BIN)/python python/tools/reference.py $(ARGS)

release-check: .venv/.stamp ## say what is in the way of releasing this tree
	@$(BIN)/python python/tools/release.py

release-dump: up ## write tests/released/<version>.sql.gz, which later versions are upgraded from
	@eval "$$($(CLUSTER) env)" && LOCI_DSN="$$LOCI_DSN" LOCI_PG_BIN="$$LOCI_PG_BIN" $(BIN)/python python/tools/release.py dump

# Keeps the versions that are locked unless UPGRADE=1. uv reads neither pip's settings nor its environment, so what
# is written is of the public registry whatever mirror a machine is set up with.
LOCK = .venv-lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --only-binary :all: \
       --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: ## lock the versions and hashes of all Python packages again (UPGRADE=1: newest ones)
	@/usr/bin/python3 -m venv .venv-lock
	@.venv-lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.8 2>/dev/null
	@$(LOCK) docker/requirements-database.in --output-file docker/requirements-database.txt
	@$(LOCK) requirements-dev.in --output-file requirements-dev.txt
	@$(LOCK) docker/requirements-migrate.in --output-file docker/requirements-migrate.txt
	@$(LOCK) docker/requirements-shim.in --output-file docker/requirements-shim.txt
	@$(LOCK) tests/pgai-requirements.in --output-file tests/pgai-requirements.txt
	@$(LOCK) docker/requirements-litellm.in --output-file docker/requirements-litellm.txt
	@$(LOCK) tests/langgraph-requirements.in --output-file tests/langgraph-requirements.txt
	@rm -rf .venv-lock

clean: ## stop the private cluster and remove its data, .venv and caches
	@$(CLUSTER) destroy
	@rm -rf .venv .venv-lock .venv-pgai .venv-litellm .venv-langgraph .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

install:
	@$(INSTALL)

install-demo:
	@$(INSTALL) --with-demo

# The manual too: tests read it.
install-tests:
	@$(INSTALL) --with-tests --with-demo

start:
	@$(CLUSTER) start

# The stamp is younger than the lock file it was made from. Only wheels, only those whose hashes are locked.
.venv/.stamp: requirements-dev.txt | install
	@echo 'make: installing the Python tools in .venv'
	@[ -x $(BIN)/python ] || { rm -rf .venv && env -u PYTHONPATH -u PYTHONHOME /usr/bin/python3 -m venv .venv; }
	@log="$$(env -u PYTHONPATH -u PYTHONHOME $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	    --no-compile --require-hashes --no-deps --only-binary :all: -r requirements-dev.txt 2>&1)" \
	    || { printf '%s\n' "$$log" >&2; exit 1; }
	@touch $@
