# One command per job, the same on a laptop and in CI. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The genuine client needs Python 3.11 or older; the first one found is used.
COMPAT_PYTHON ?= $(shell for p in python3.11 python3.10 python3.9; do $$p -c pass 2>/dev/null && echo $$p && break; done)
COMPAT_VENV ?= .venv-compat
WORKERS ?= 2
DEMO := $(CURDIR)/.demo
# What `make coverage` has just run need not run again: `make coverage test COVERED=1`.
AGAIN := $(if $(COVERED),--ignore tests/unit --ignore tests/property --ignore tests/histories)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit test-e2e test-ray test-crash crash power fuzz chaos test-cold test-postgres large-copy test-compat test-torch webui test-webui docs check format coverage bench clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "determined-search needs Python 3.10 or newer; name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[examples]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[examples,dev]'
	@touch $@

setup: $(VENV)/.dev  ## make the virtual environment with everything needed to develop

demo: $(VENV)/.run  ## set up, and run the ASHA example on a master of its own
	@$(BIN)/python examples/demo.py --folder $(DEMO)

test: setup test-unit test-webui test-e2e test-crash test-compat  ## set up, and run every test

test-unit: $(VENV)/.dev  ## tests without long-lived processes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --ignore tests/e2e --ignore tests/crash --ignore tests/compat --ignore tests/on_ray --ignore tests/webui $(AGAIN)

test-e2e: $(VENV)/.dev  ## real masters, trials and commands as processes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/e2e tests/on_ray --ignore tests/on_ray/test_each_fault.py

test-ray: $(VENV)/.dev  ## everything on Ray clusters of this machine, five times; takes half an hour
	for time in 1 2 3 4 5; do $(BIN)/python -m pytest tests/on_ray || exit 1; done

test-crash: $(VENV)/.dev  ## masters that die, networks that lose calls: a sample of all points
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/crash

crash: $(VENV)/.dev  ## the same with every point; takes hours
	DET_CRASH_SHARE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -s tests/crash tests/integration/test_search_runner_crash.py

power: $(VENV)/.dev  ## every power cut and every failure of the disk; takes minutes
	DET_POWER_SHARE=1 $(BIN)/python -m pytest -n $(WORKERS) -s tests/power

test-cold: $(VENV)/.dev  ## what runs trials, with warm start off; takes a quarter of an hour
	DET_TEST_WARM_START=false $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/e2e tests/crash
	DET_TEST_WARM_START=false $(BIN)/python -m determined.testing.chaos --seed 2001 --seeds 5 --keep-going

test-postgres: $(VENV)/.dev  ## masters in tests keep everything on PostgreSQL; takes a quarter of an hour
	DET_TEST_DB=postgres $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/contract/test_stores.py \
	  tests/property/test_stores_agree.py tests/integration tests/e2e/test_faults.py tests/e2e/test_postgres.py \
	  tests/e2e/test_events_of_a_search.py tests/crash/test_master_dies.py
	$(BIN)/python -m tests.large_copy

large-copy: $(VENV)/.dev  ## move 10,000 trials to PostgreSQL and back, with equal digests; takes a minute
	$(BIN)/python -m tests.large_copy

fuzz: $(VENV)/.dev  ## the tests that invent their examples, with other ones in each of 20 rounds; takes half an hour
	for round in $$(seq 20); do $(BIN)/python -m pytest -q -n $(WORKERS) --hypothesis-profile=default \
	  $$(grep -rl --include 'test_*.py' 'from hypothesis' tests) || exit 1; done

chaos: $(VENV)/.dev  ## searches while everything is killed, paused and cut off, for an hour
	$(BIN)/python -m determined.testing.chaos --minutes 60 --keep-going

$(COMPAT_VENV)/.ok:
	$(COMPAT_PYTHON) -m venv $(COMPAT_VENV)
	$(COMPAT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'determined==0.22.2' 'ruamel.yaml<0.18' 'setuptools<81'
	@touch $@

ifeq ($(COMPAT_PYTHON),)
test-compat:  ## the genuine client against our master
	@echo "test-compat: skipped, the genuine client needs Python 3.9 to 3.11 and none was found"
else
test-compat: $(VENV)/.dev $(COMPAT_VENV)/.ok  ## the genuine client against our master
	DET_GENUINE_PYTHON=$(CURDIR)/$(COMPAT_VENV)/bin/python $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/compat
endif

test-torch: $(VENV)/.dev  ## the PyTorch example and trials under torchrun; installs PyTorch first
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[torch]'
	$(BIN)/python -m pytest tests/e2e/test_examples.py tests/e2e/test_distributed.py tests/integration/test_launch_processes.py \
	  tests/on_ray/test_nodes.py -k torch

webui: $(VENV)/.dev  ## build the web UI into the package, when its sources have changed
	$(BIN)/python webui/build.py --if-stale

test-webui: $(VENV)/.dev  ## types, lint and unit tests of the web UI, and its tests in a browser
	$(BIN)/python webui/build.py check
	$(BIN)/python webui/build.py --if-stale
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/webui

docs: $(VENV)/.dev  ## write the generated parts of the documentation
	$(BIN)/python docs/generate.py

check: $(VENV)/.dev  ## format, lint, types, layers, names of durable steps
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.durable_calls

format: $(VENV)/.dev  ## put everything into our format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(VENV)/.dev  ## branch coverage of the pure layers, at least 98 %
	$(BIN)/python -m pytest -n $(WORKERS) tests/unit tests/property tests/histories \
	  --cov=determined/domain --cov=determined/engine --cov=determined/methods --cov-branch \
	  --cov-report=term-missing:skip-covered --cov-fail-under=98

bench: $(VENV)/.dev  ## measure; compares with other tools, which it installs; takes three quarters of an hour
	$(BIN)/python -m bench --write bench/results.md

clean:  ## remove what the commands above made
	rm -rf $(VENV) $(COMPAT_VENV) $(DEMO) determined/webui_static* webui/node_modules build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
