# The commands of the README. Each does all its own set-up: nothing but Python and make need be there.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Old and new pip pass constraints on to the builds of sdists by different names; visdom's build needs setuptools < 82.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip
STAMP := $(VENV)/.installed

# Hot paths against their floors. The shows, which take minutes each, are called by hand: detectors, download_faults,
# review_kills, review_order, compare_generators, fast_recipe, metric_faults.
BENCHMARKS := score scenes catalogue split sections export shards annotation annotation_memory generator cells train_step \
	loader animate frechet extractors evaluate_again

.PHONY: help setup demo test lint bench clean-demo

help:
	@echo "make setup   make $(VENV) with all that is needed"
	@echo "make demo    the whole way on rendered footage, in demo/"
	@echo "make test    all tests"
	@echo "make lint    ruff and mypy"
	@echo "make bench   hot paths against their floors"

setup: $(STAMP)
	@$(BIN)/python -m annotation_server.assets || echo "The annotation page will not work until its browser assets are there (see above)."

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	@$(PIP) install --quiet --editable '.[test,lint,learn,tensorboard,onnx]'
	@$(PIP) install --quiet --only-binary :all: wsaccel || echo "wsaccel has no wheel here: Visdom's websocket is a little slower without it."
	@touch $@

demo: setup
	@$(BIN)/python -m curation.demo

test: setup
	@$(BIN)/python -c "import shutil; shutil.which('chromium') or print('No Chromium: the tests of the grid in a browser are skipped.')"
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	@for benchmark in $(BENCHMARKS); do echo "== $$benchmark"; $(BIN)/python benchmarks/$$benchmark.py || exit 1; done

clean-demo:
	rm -rf demo
