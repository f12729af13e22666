# Everything a person or CI does goes through here. Only git, make and python3 are needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait for a server more than they compute.
WORKERS ?= 2
# What the matrix waits for is mostly a client that hangs, without the bridge.
MATRIX_WORKERS ?= 3
STAMP := $(VENV)/.installed

.PHONY: help demo test check etl matrix suites bench soak clean

help:
	@echo "make demo    stream a real file through a blocking function on a real server"
	@echo "make test    formatting, lint, types, tests, coverage"
	@echo "make etl     the ETL server's checks on every server in every mode"
	@echo "make matrix  every server and framework with and without the bridge, and the page about it"
	@echo "make suites  the test suites of frameworks and their like, without the bridge and behind it"
	@echo "make bench   speed and memory against today's peers"
	@echo "make soak    half an hour of mixed traffic with faults, and the abuse tests in full"
	@echo "make clean   remove what the others made"

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

.venv-demo/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --upgrade pip
	.venv-demo/bin/python -m pip install --quiet --editable '.[serve]'
	@touch $@

demo: .venv-demo/.installed
	.venv-demo/bin/python -m examples.demo

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses $(WORKERS) --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	sh tests/interpreters.sh

etl: $(STAMP)
	ETL_PODS=all $(BIN)/python -m pytest tests/etl

matrix: $(STAMP)
	rm -rf .matrix
	MATRIX_RESULTS=.matrix $(BIN)/python -m pytest tests -m matrix -o faulthandler_timeout=600 \
		--numprocesses $(MATRIX_WORKERS) --durations=10
	$(BIN)/python -m tests.matrix.render .matrix

# It makes its own environments, one for each suite.
suites:
	$(PYTHON) -m tests.suites

bench: $(VENV)/.bench
	$(BIN)/python -m tests.benchmarks

soak: $(STAMP)
	ABUSE=1 SCHEDULES=2000 $(BIN)/python -m pytest tests/faults -o faulthandler_timeout=600
	$(BIN)/python -m tests.soak --seconds 1800

clean:
	rm -rf .venv .venv-* .matrix .suites .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
