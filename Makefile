PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Arguments for every pip install, for example PIP_ARGS='-c constraints.txt' for the tested versions.
PIP_ARGS ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet $(PIP_ARGS)
# Threads that wait must not keep the cores of a busy machine.
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help quickstart lint types docs test test-all check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/installed  ## run the quickstart search space and write its report
	$(BIN)/iid run quickstart

lint: $(VENV)/installed-dev  ## check style, formatting, spelling and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo

types: $(VENV)/installed-dev  ## check types with mypy --strict
	$(BIN)/mypy

docs: $(VENV)/installed-dev  ## build the documentation into build/site; a broken link is an error
	$(BIN)/mkdocs build --strict --quiet

test: $(VENV)/installed-test  ## run the quick tests, about ten minutes on two quiet cores
	$(PYTEST)

test-all: $(VENV)/installed-test  ## run every test except the nightly ones
	$(PYTEST) -m 'not nightly'

check: lint types docs test  ## run what continuous integration runs

clean:  ## remove reports, builds and caches; never a store
	rm -rf reports build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --upgrade pip

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@
