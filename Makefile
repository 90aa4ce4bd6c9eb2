PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: demo test quick lint unit stubs bundle clean

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

## stubs: generate protos/*_pb2* again
stubs: .venv/.dev
	$(BIN)/python scripts/generate_stubs.py

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

clean:
	rm -rf .venv demo-output .mypy_cache .ruff_cache .hypothesis
