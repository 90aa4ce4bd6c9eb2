PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: demo test quick lint unit ray mutants stubs locks containers bundle clean

## demo: cut a model, serve both halves, stream real frames (no torch, no root)
demo: .venv/.demo
	@$(BIN)/python examples/digits/demo.py

## test: formatting, lint, strict types, layers, stubs, and all tests, also the slow ones
test: lint unit

## quick: the tests that take under 30 s together: none that starts a program, measures, trains or searches long
quick: .venv/.dev
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_stubs.py --check

unit: .venv/.dev
	$(BIN)/python -m pytest

## ray: the tests of tails on a Ray cluster, which needs hundreds of megabytes and half a minute to start
ray: .venv/.ray
	RAY_USAGE_STATS_ENABLED=0 $(BIN)/python -m pytest -n0 tests/cloud_server/cluster

## mutants: break lines of the core one at a time, and run their tests; long, but for NAMES='protos.wire*'
mutants: .venv/.mutation
	PATH="$(CURDIR)/$(BIN):$$PATH" mutmut run --max-children 1 $(NAMES)

## stubs: generate protos/*_pb2* again
stubs: .venv/.dev
	$(BIN)/python scripts/generate_stubs.py

## locks: write docker/locks again, what the images are built with, after a change of pyproject.toml or constraints.txt
locks: .venv/.locks
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/lock_dependencies.py

## containers: build the images, run docker-compose.yml with docker or podman, and hold it against the docs
containers:
	@$(PYTHON) scripts/run_containers.py

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is wanted: make PYTHON=python3.11")'
	@echo "setting up .venv"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.demo: .venv/.made pyproject.toml constraints.txt
	@echo "installing what the demo needs"
	@$(PIP) -e '.[demo]'
	@touch $@

.venv/.dev: .venv/.made pyproject.toml constraints.txt
	@echo "installing what the tests need"
	@$(PIP) -e '.[dev]'
	@touch $@ .venv/.demo

.venv/.ray: .venv/.dev pyproject.toml
	@echo "installing Ray"
	@$(PIP) -e '.[ray]'
	@touch $@

.venv/.mutation: .venv/.dev pyproject.toml
	@echo "installing what changes lines"
	@$(PIP) -e '.[mutation]'
	@touch $@

.venv/.locks: .venv/.made
	@$(PIP) uv
	@touch $@

clean:
	rm -rf .venv demo-output mutants .mypy_cache .ruff_cache .hypothesis
