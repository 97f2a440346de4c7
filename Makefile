# Everything a newcomer needs: `make demo` runs the whole road, `make test` runs all checks and tests.
# Both make the virtual environment first. DATA=/path/to/folder takes your own pictures for the demo.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=

.PHONY: help install demo test check format clean

help:
	@echo "make demo [DATA=/path/to/folder]   ingest, targets, train, evaluate, report (under 8 minutes on 2 cores)"
	@echo "make test                          all checks and tests"
	@echo "make format                        format the code"
	@echo "make clean                         remove what the demo made"

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("maskloom needs Python 3.11 or later; name one with PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	touch $@

demo: install
	$(BIN)/python examples/demo.py --out demo $(if $(DATA),--data '$(DATA)')

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest --numprocesses 2 --dist worksteal

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf demo
