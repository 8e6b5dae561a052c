# setup, demo, test, notebooks, bench and lint. Each makes .venv by itself when it is missing or older than setup.py.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# What runs again on each other backend: the network and what drives it.
BACKEND_TESTS := $(addprefix tests/,network training weights inference parity compat e2e)
PYTEST := $(PY) -m pytest -q -n $(WORKERS) --dist loadfile -p no:cacheprovider

export MPLBACKEND := Agg
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: help setup demo test test-jax test-torch test-tensorflow notebooks bench lint
.DELETE_ON_ERROR:

help:
	@echo "make setup | demo | test | notebooks | bench | lint   (PYTHON=python3.12 VENV=.venv WORKERS=2)"

setup: $(STAMP)
	@echo "Ready. To have the command mrcnn at hand: source $(VENV)/bin/activate"

$(STAMP): setup.py
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(PY) samples/shapes/demo.py

# TensorFlow comes last: it runs the whole suite, and its summary ends the output. A failure on a backend before it stops make.
test: test-tensorflow

test-jax: $(STAMP)
	@echo "== Keras backend: jax"
	KERAS_BACKEND=jax $(PYTEST) $(BACKEND_TESTS)

test-torch: $(STAMP) test-jax
	@if $(PY) -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"; then \
	    echo "== Keras backend: torch"; KERAS_BACKEND=torch $(PYTEST) $(BACKEND_TESTS); \
	else echo "== Keras backend: torch is not installed, its run is left out"; fi

test-tensorflow: $(STAMP) test-torch
	@echo "== Keras backend: tensorflow, the whole suite"
	KERAS_BACKEND=tensorflow $(PYTEST) tests

notebooks: $(STAMP)
	$(PY) notebooks/execute.py

bench: $(STAMP)
	@set -e; MRCNN_BENCH_ROWS="$$(mktemp)"; export MRCNN_BENCH_ROWS; trap 'rm -f "$$MRCNN_BENCH_ROWS"' EXIT; \
	for script in benchmarks/bench_*.py; do $(PY) $$script; done; \
	for script in train_step detect; do $(PY) benchmarks/bench_$$script.py --precision mixed_bfloat16; done; \
	$(PY) benchmarks/table.py "$$MRCNN_BENCH_ROWS"

# Long files are a warning: a cut that only serves a limit is worse than 500 lines that answer one question.
lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m mypy
	@find mrcnn -name '*.py' -exec wc -l {} + | awk '$$2 != "total" && $$1 > 400 {print "warning: " $$2 " has " $$1 " lines"}'
