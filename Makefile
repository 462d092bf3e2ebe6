# Two commands: `make demo` and `make test`. Each makes its own .venv from nothing.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := instances algorithms reductions verification experiments commands
MODULES := cubicwall cubicwall.cli cubicwall.__main__
WORKERS ?= 2
# The root is a package: with tests/ as rootdir pytest does not try to import it by the name of its folder.
PYTEST := $(BIN)/pytest -c pyproject.toml --rootdir tests tests -n $(WORKERS) --dist worksteal
# Compiled kernels are kept beside the environment that made them.
export NUMBA_CACHE_DIR := $(CURDIR)/.venv/numba

.PHONY: demo test test-full test-torch lint wheel clean
.DELETE_ON_ERROR:

demo: .venv/installed
	$(BIN)/cubicwall demo
	rm -rf out/demo
	$(BIN)/cubicwall threshold -o out/demo

test: .venv/tested
	$(BIN)/python tests/warm_up.py
	$(PYTEST) -m "not full"

test-full: .venv/tested
	$(BIN)/python tests/warm_up.py
	$(PYTEST)

test-torch: .venv/with-torch
	$(BIN)/python tests/warm_up.py
	$(BIN)/pytest -c pyproject.toml --rootdir tests -n $(WORKERS) --dist worksteal \
	    tests/algorithms/test_torch_layer.py tests/test_examples.py

lint: .venv/linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .typing && ln -sfn .. .typing/cubicwall
	MYPYPATH=.typing $(BIN)/mypy $(MODULES:%=-m %) $(PACKAGES:%=-p cubicwall.%)

# Builds in a copy of what git tracks, so that no stale build/ leaks into the wheel, then runs it from outside.
wheel: .venv/linted
	bash .ci/wheel $(BIN)/python

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/made pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/tested: .venv/made pyproject.toml
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

.venv/with-torch: .venv/tested
	$(BIN)/pip install --quiet --editable '.[test,torch]'
	touch $@

.venv/linted: .venv/tested
	$(BIN)/pip install --quiet --editable '.[test,dev]'
	touch $@

clean:
	rm -rf .venv .typing build dist *.egg-info
