# Every target does its own set-up: a virtual environment in .venv, made by the first target that
# needs it and renewed when pyproject.toml changes. Needed: Python 3.11 or newer, git, make.
#
# PYTHON chooses the interpreter (make test PYTHON=/opt/python/bin/python3). Left empty, it is the
# first of these that runs, is new enough and can make environments.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)

VENV := .venv
PY := $(VENV)/bin/python
# Two stamps, one environment: the demo does not wait for test tools to be downloaded.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
# They hold the path of the checkout: an environment that was moved or copied here, or whose
# interpreter is gone, is made again.
$(shell if [ -f $(READY) ] && ! { [ -x $(PY) ] && [ "$$(cat $(READY))" = "$$(pwd -P)" ]; }; \
    then rm -f $(PY) $(READY) $(READY_DEV); fi)

# Another version of Python, where one is installed: a seed is the same run in both.
SECOND := .venv-second
READY_SECOND := $(SECOND)/.ready
$(shell [ -x $(SECOND)/bin/python ] || rm -f $(READY_SECOND))

# The packages whose own tests have to reach every branch (the source list in pyproject.toml).
COVERED := $(wildcard $(addprefix tests/,causality merkle protocol ring wire))
# examples/ and benchmarks/ count as soon as they are there.
TYPED := $(wildcard dynamokv tests examples benchmarks)

# The caller's own Python settings stay out of the environment, and pip does not advertise.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check chaos sim mutants bench format clean
.NOTPARALLEL:

help: ## this list
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z]*\):[^#]*## /  \1|/p' Makefile | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

demo: $(READY) ## start a small ring on this machine and show what it does
	@$(PY) -m dynamokv demo

test: $(READY_DEV) $(READY_SECOND) ## run all tests; the pure packages must be covered to the last branch
	@test -n '$(COVERED)' || { echo 'make: no tests of the pure packages found' >&2; exit 1; }
	$(PY) -m coverage run -m pytest -q --benchmark-disable $(COVERED)
	$(PY) -m pytest -q --benchmark-disable $(addprefix --ignore=,$(COVERED))
	$(PY) -m coverage report

check: $(READY_DEV) ## lint, format, types, layers, sizes
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(TYPED)
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m pytest -q tests/test_tidy.py

chaos: $(READY_DEV) ## the long tests, in which members are killed for minutes
	$(PY) -m pytest -q --benchmark-disable -m chaos tests

# SEEDS is how many, SEED plays one again; what fails leaves its trace in sim-findings/.
sim: SEEDS ?= 1000
SEED ?=
sim: $(READY) ## whole rings under virtual time and faults: SEEDS=1000 of them, or one SEED
	@$(PY) -m dynamokv.testing.campaign --seeds $(SEEDS) $(if $(SEED),--seed $(SEED))

# SEEDS is how many each mutant may take at most.
mutants: SEEDS ?= 2000
mutants: $(READY_DEV) ## take safeguards out one at a time: each must be missed within SEEDS=2000
	@$(PY) -m tests.sim.mutants --seeds $(SEEDS)

bench: $(READY_DEV) ## measure
	@$(PY) -m benchmarks

format: $(READY_DEV) ## apply ruff's fixes and formatting
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

clean: ## remove the environment, caches and build products
	rm -rf $(VENV) $(SECOND) build dist .coverage .coverage.* htmlcov .benchmarks .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name .git -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +

$(READY): pyproject.toml $(PY)
	@echo 'Installing dynamokv into $(VENV) ...'
	@$(PY) -m pip install -q -e .
	@pwd -P > $@

$(READY_DEV): pyproject.toml $(PY)
	@echo 'Installing dynamokv and its development tools into $(VENV) ...'
	@$(PY) -m pip install -q -e '.[dev]'
	@pwd -P > $(READY) && pwd -P > $@

# Nothing fails where it cannot be made: the stamp is missing then, and the test is skipped.
$(READY_SECOND): $(READY_DEV)
	@$(PY) -m tests.sim.second_python $(SECOND)

# A candidate may be on the PATH and still not run (a version manager's shim), be too old, or come
# without the parts of the standard library that make environments (Debian packs them separately).
$(PY):
	@found=; bare=; \
	runs() { "$$@" >/dev/null 2>&1; }; \
	for candidate in $(CANDIDATES); do \
	    runs $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue; \
	    if runs $$candidate -c 'import ensurepip, venv'; then found=$$candidate; break; fi; \
	    bare=$${bare:-$$candidate}; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	    version=$$($$bare -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "make: $$bare cannot make virtual environments; install its venv package" \
	        "(on Debian or Ubuntu: apt install python$$version-venv, or python3-venv)" >&2; \
	    exit 1; \
	elif [ -z "$$found" ]; then \
	    echo "make: no Python 3.11 or newer found (tried: $(CANDIDATES));" \
	        "install one, or run: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	echo "Making $(VENV) with $$found ..."; \
	trap 'rm -rf $(VENV); exit 1' INT TERM; \
	$$found -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
