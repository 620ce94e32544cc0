# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test slow check format lint types imports clean

help:
	@echo "make demo    set up, then the demo study on the embedded cohort, to runs/demo/report/index.html"
	@echo "make test    set up, then the tests"
	@echo "make slow    set up, then the tests that take minutes"
	@echo "make check   format, lint, types, import contracts, tests"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("FairGen needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: setup
	$(BIN)/fairgen run studies/demo.toml --out runs/demo

test: setup
	$(BIN)/python -m pytest -n 2

slow: setup
	$(BIN)/python -m pytest -m slow

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

check: format lint types imports test

clean:
	rm -rf $(VENV) runs
