# What you run before a commit (check test smoke); CI runs slow too, and nobody but you runs long. PYTHON is the interpreter of your environment.
PYTHON ?= python
SMOKE ?= outputs

.PHONY: install check test slow long smoke bench

install:  ## the project and its tools
	$(PYTHON) -m pip install -c constraints.txt -e '.[dev]'

check:  ## lint, format, types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

test:  ## the default suite
	$(PYTHON) -m pytest

slow:  ## about 25 minutes: kills and pairs of options by sample, whole studies, commands; error rates
	$(PYTHON) -m pytest -m slow
	$(PYTHON) -m tests.error_rates --quick

long:  ## two or three hours: every kill, every pair of options, the soak, the README's commands; docs/testing.md has the last figures
	$(PYTHON) -m pytest -n 1 -m long --durations=20 -rPs

smoke:  ## every experiment in seconds, through the command line
	$(PYTHON) -m runner -m 'experiment=glob(*)' scale=smoke outputs=$(SMOKE)

bench:  ## speed and memory as ratios, e.g. BENCH=--quick; see tests/benchmarks/
	for file in $(filter-out %/side_by_side.py,$(wildcard tests/benchmarks/[a-z]*.py)); do \
	    $(PYTHON) $$file $(BENCH) || exit 1; done
