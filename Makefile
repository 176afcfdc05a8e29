# Everything runs in .venv, which is made once and renewed when setup.cfg or constraints.txt change.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BENCHMARKS := $(sort $(wildcard benchmarks/bench_*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test check docs bench soak links clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed  ## simulate a head, segment it, show the result
	$(BIN)/kseg demo $(ARGS)

test: .venv/installed-test  ## run the tests (ARGS="-k fourier" selects, ARGS=--cov measures coverage)
	$(BIN)/pytest $(ARGS)

check: .venv/installed-check links  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

docs: .venv/installed-docs  ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going --quiet -b html docs docs/_build/html $(ARGS)

bench: .venv/installed-test  ## run the benchmarks one after the other
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script $(ARGS); done

soak: .venv/installed-test  ## what takes long: a thousand volumes with faults and kills, ten thousand damaged files
	$(BIN)/python benchmarks/soak_batch.py
	$(BIN)/python tests/soak/fuzz_readers.py --count 10000

# Type checkers do not follow an editable installation; they follow these links.
links:  ## fill .links/kseg for type checkers and editors
	@mkdir -p .links/kseg
	@ln -sfn ../../src/kseg/__init__.py ../../src/kseg/py.typed .links/kseg/
	@ln -sfn ../../transforms ../../networks ../../pipelines ../../bundles .links/kseg/

clean:  ## remove everything that make made
	rm -rf .venv .links build *.egg-info docs/_build docs/api/generated .pytest_cache .mypy_cache .ruff_cache .coverage

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch first: what the others ask of it is then met, whichever build this machine offers.
.venv/installed: setup.cfg pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) torch setuptools
	$(PIP) --no-build-isolation --editable .
	@touch $@

.venv/installed-%: .venv/installed
	$(PIP) --no-build-isolation --editable '.[$*]'
	@touch $@
