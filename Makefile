# The only commands of this project; `make help` lists them.  They need a Python >= 3.10 with venv
# and nothing else.  An environment is made once, and brought up to date when pyproject.toml changed.

# Environments are made from $(PYTHON) where it is given and usable, else from the newest
# python3.X on the PATH: see tools/find-python.
PYTHON ?=
VENV = .venv
BIN = $(VENV)/bin

# Options to pass on: make demo DEMO="--workers 4", make test TEST="-x -k transfer", make bench BENCH=…,
# make chaos CHAOS="--seed 3 K1 N5"
DEMO =
TEST =
BENCH =
CHAOS =
# The layers that know no socket, thread or clock, and the contract of the public names.
PURE = tests/api tests/model tests/state tests/util tests/wire
# Four processes: on two cores half of the tests wait for something at any time; a test that hangs
# is ended with the stacks of its threads.
TEST_RUN = -n 4 --timeout 120

PIP = $(BIN)/python -m pip --quiet --quiet --no-input --disable-pip-version-check
# what this shell has set for its own Python must not reach the environments made here
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL = help
# two pips must not write into one environment
.NOTPARALLEL:
.PHONY: help demo test test-one test-others check bench chaos docs clean system-packages

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 14

demo: $(VENV)/.demo ## count the standard library's identifiers on a local grid
	@$(BIN)/softgrid demo $(DEMO)

test: test-one test-others ## run every test, on every Python 3.10 - 3.13 of this machine

test-one: $(VENV)/.test system-packages ## run every test, on one Python only
	@echo "tests on $$($(BIN)/python --version)"
	@$(BIN)/python -m pytest -q $(TEST_RUN) $(TEST)

# each other version has an environment of its own, .venv-3.X; a failure does not stop the others
test-others: $(VENV)/.made
	@here=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	failed=; \
	for minor in 3.10 3.11 3.12 3.13; do \
	    [ $$minor != $$here ] || continue; \
	    python=$$(tools/find-python $$minor) || continue; \
	    $(MAKE) test-one VENV=.venv-$$minor PYTHON=$$python || failed="$$failed $$minor"; \
	done; \
	[ -z "$$failed" ] || { echo "tests failed on Python$$failed" >&2; exit 1; }

check: $(VENV)/.check ## format, lint, types, import order and the pure tests: seconds, not minutes
	@$(BIN)/ruff format --check --quiet --output-format concise .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -n 2 $(PURE)

bench: $(VENV)/.bench ## measure softgrid beside its peers
	@$(BIN)/python -m benchmarks $(BENCH)

chaos: $(VENV)/.test system-packages ## all faults of docs/reliability.md, which it writes; up to 45 minutes
	@$(BIN)/python -m tests.chaos $(CHAOS) --write

docs: $(VENV)/.docs ## build the documentation into build/docs, warnings are errors
	@$(BIN)/python -m sphinx --quiet --nitpicky --fail-on-warning --keep-going docs build/docs
	@echo "build/docs/index.html"

clean: ## remove everything that these commands made
	rm -rf .venv .venv-3.* build dist .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache .hypothesis
	find src tests benchmarks docs examples -name __pycache__ -prune -exec rm -rf {} +

# What the tests need from the operating system (a real sshd) is installed here, where that is possible.
system-packages:
	@tools/install-packages

# One stamp per environment and purpose.  An environment that works is kept, also one made by hand.
$(VENV)/.made:
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    python=$$(PYTHON='$(PYTHON)' tools/find-python) && \
	    echo "making $(VENV) with $$python" && \
	    $$python -m venv --clear $(VENV); }
	@$(PIP) install --upgrade 'pip>=25.1'  # older ones know no dependency groups
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.bench: $(VENV)/.made pyproject.toml
	@echo "installing what the benchmarks need into $(VENV)"
	@$(PIP) install --editable '.[bench]'
	@touch $@

$(VENV)/.test $(VENV)/.check $(VENV)/.docs: $(VENV)/.made pyproject.toml
	@echo "installing what '$(subst .,,$(@F))' needs into $(VENV)"
	@$(PIP) install --editable . --group $(subst .,,$(@F))
	@touch $@
