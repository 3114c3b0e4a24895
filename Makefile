# What you run before a commit (check test smoke); CI runs slow too. PYTHON is the interpreter of your environment.
PYTHON ?= python
SMOKE ?= outputs

.PHONY: install check test slow smoke bench

install:  ## the project and its tools
	$(PYTHON) -m pip install -e '.[dev]'

check:  ## lint, format, types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

test:  ## the default suite
	$(PYTHON) -m pytest

slow:  ## kills at every point of a trial, every pair of options, compiled training; error rates
	$(PYTHON) -m pytest -m slow
	$(PYTHON) -m tests.error_rates --quick

smoke:  ## every experiment in seconds, through the command line
	$(PYTHON) -m runner -m 'experiment=glob(*)' scale=smoke outputs=$(SMOKE)

bench:  ## speed and memory as ratios, e.g. BENCH=--quick; see tests/benchmarks/
	for file in $(filter-out %/side_by_side.py,$(wildcard tests/benchmarks/[a-z]*.py)); do \
	    $(PYTHON) $$file $(BENCH) || exit 1; done
