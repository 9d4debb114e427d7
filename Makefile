# `make demo` and `make test` do all the set-up themselves: git, make, Python >= 3.11 and cargo.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Rebuild the compiled part when any of these is newer.
SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock pyproject.toml

# What maturin tells pyo3's build script. Told anything else, cargo would compile all of Polars anew.
AS_MATURIN = PYO3_CONFIG_FILE="$$(ls $(CURDIR)/target/maturin/pyo3-config-*.txt)" PYO3_BUILD_EXTENSION_MODULE=1

# The tests of a file stay together: what they share is made once. More workers only add memory.
PYTEST := -n auto --maxprocesses 8 --dist loadfile

.PHONY: help demo test test-versions test-lowest torture lint bench bench-billion store-bench doc format clean

help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'maturin>=1.9,<2'
	touch $@

# Release mode always: an unoptimized build is of no use to anybody here.
$(VENV)/.built: $(VENV)/.tools $(SOURCES)
	@echo 'Compiling with Polars: about a quarter of an hour on two cores the first time, seconds later on.'
	. $(BIN)/activate && maturin develop --release
	touch $@

$(VENV)/.demo: $(VENV)/.built
	$(BIN)/python -m pip install --quiet --group demo
	touch $@

$(VENV)/.test: $(VENV)/.built
	$(BIN)/python -m pip install --quiet --group test --group lint
	touch $@

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

demo: $(VENV)/.demo ## Bars from Parquet, lazily: on made-up trades, or TRADES='path/*.parquet'
	$(BIN)/python examples/demo.py

test: lint $(VENV)/.test ## Everything: lints, types, the core's tests, the package's tests
	cargo test --quiet --no-default-features
	$(BIN)/python -m mypy.stubtest rangebar_polars._internal
	$(BIN)/python -m pytest -q $(PYTEST) --durations=15

test-versions: $(VENV)/.test ## The package's tests on the lowest and newest Python, Polars and extras found here
	$(BIN)/python -m tests.versions -- $(PYTEST)

test-lowest: $(VENV)/.test ## On the lowest of all three alone, without the slow tests
	$(BIN)/python -m tests.versions --lowest -- $(PYTEST) -m 'not slow'

torture: $(VENV)/.test ## Signals at random instants through every door, for an hour or TORTURE='--minutes 5'
	$(BIN)/python -m tests.torture.interrupts $(TORTURE)

lint: $(VENV)/.test ## Formatting, lints and type checks
	cargo fmt --check
	$(AS_MATURIN) cargo clippy --quiet --release --all-targets -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --pythonpath $(BIN)/python --project tests

format: $(VENV)/.test ## Put the sources into their form
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench ## Measure against a bare scan, a numba loop and the incumbent; BENCH='--quick' for a short one
	$(BIN)/python -m benches.run $(BENCH)
	$(BIN)/python -m benches.calls
	$(BIN)/python -m benches.store_bench

bench-billion: $(VENV)/.bench ## A billion trades in one run
	$(BIN)/python -m benches.billion

store-bench: $(VENV)/.bench ## Measure the store and the archive source
	$(BIN)/python -m benches.store_bench

clean: ## Remove what was built and made
	rm -rf target $(VENV) .versions .demo .bench
