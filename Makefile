# `make` alone prints what can be done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/demo

# The measured data sets, when they lie beside the checkout.
ifeq ($(origin PENDULA_DATA),undefined)
ifneq ($(wildcard ../shared/data),)
export PENDULA_DATA := ../shared/data
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install assets demo test test-slow lint format bench repro docs lock clean check-new

help:  ## this list
	@echo "make TARGET, where TARGET is one of"
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | column -t -s '|'

# The environment: made once, renewed when the dependencies change. Each group of
# tools has a stamp of its own, so that `make demo` installs no linter.
$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "$(PYTHON) was not found. Install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pendula needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name a newer one: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks venv. Install it (Debian, Ubuntu: apt install python3-venv) and try again."; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -c constraints.txt
$(VENV)/.test: $(VENV)/.python pyproject.toml constraints.txt
	@echo "installing Pendula and its pinned dependencies into $(VENV) (a minute or two, once)"
	@$(PIP) -e ".[test]"
	@touch $@

$(VENV)/.lint $(VENV)/.docs $(VENV)/.bench: $(VENV)/.%: $(VENV)/.test
	@echo "installing the tools of 'make $*'"
	@$(PIP) -e ".[$*]"
	@touch $@

install: $(VENV)/.test  ## make .venv with everything that demo and test need

demo: $(VENV)/.test  ## the main job end to end: writes runs/demo/report.html
	@$(BIN)/pendula demo --out $(RUN)

# Compile time is most of the time of the fast tests: XLA's optimisations, its fusion
# emitters above all, cost more than they give there. Two workers on two cores leave no
# core for threads of NumPy's and SciPy's products: they would wait for each other.
PYTEST = $(BIN)/python -m pytest
FAST = OPENBLAS_NUM_THREADS=1 JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS="$$(.ci/fast-flags $(BIN)/python)"
test: $(VENV)/.test  ## the fast tests
	@$(FAST) $(PYTEST) -q -m "not slow and not gpu" -n 2 --dist loadfile

test-slow: $(VENV)/.test  ## the slow tests, least recently run first, cut at 7 minutes
	@$(PYTEST) -q -m slow --cut 420 || [ $$? -eq 5 ]

assets: $(VENV)/.test  ## the files that are kept with the package, made again: half an hour
	@$(BIN)/python -m pendula.studies._slinky_assets

lint: $(VENV)/.lint  ## ruff and pyright
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.lint  ## write the format that lint asks for
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: $(VENV)/.bench  ## benchmarks against peers (installs torch)
	@mkdir -p benchmarks/results
	@$(PYTEST) -o addopts= -q benchmarks --benchmark-json benchmarks/results/$$(date +%F).json

repro: $(VENV)/.test  ## run all studies at full size and write the claims ledger
	@$(BIN)/pendula reproduce all --budget full

docs: $(VENV)/.docs  ## build the documentation into site/
	@$(BIN)/python .ci/reference.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lock:  ## renew constraints.txt (needs a Python 3.11 and a newer one)
	@.ci/lock.py > constraints.new && mv constraints.new constraints.txt

check-new:  ## install on Python 3.13, import, and run the smoke tests
	@.ci/check-new

clean:  ## remove the environment, caches and built files
	@rm -rf $(VENV) site build dist .pytest_cache .ruff_cache .hypothesis .benchmarks
	@find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
