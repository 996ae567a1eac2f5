# Two commands for a newcomer: `make demo` and `make test`. Everything runs inside .venv.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-test demo test check bench lock clean

PYTHON := .venv/bin/python
UV_COMPILE := .venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header
PY311 := --python-version 3.11 --python-platform x86_64-manylinux_2_34
PY313 := --python-version 3.13 --python-platform x86_64-manylinux_2_34
# Tests of one file stay in one worker, so that a module's costly fixture is built once.
PYTEST_WORKERS ?= -n 2 --dist loadfile

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: ## make .venv and install what `make demo` needs (nothing to do when up to date)
	@deploy/setup.sh demo

setup-test: ## the same, plus the tools that only tests use
	@deploy/setup.sh test

demo: setup ## watch a site being read, forecast, synced, retrained and updated; KEEP=1 keeps it up
	@KEEP="$(KEEP)" $(PYTHON) -m deploy.demo

test: setup-test ## every test this machine can run; ARGS="-k broker" narrows it
	@$(PYTHON) -m pytest $(PYTEST_WORKERS) $(ARGS)

check: setup ## lint, format, types, import contracts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@for script in .ci/run deploy/*.sh; do bash -n "$$script" || exit 1; done

bench: setup ## every benchmark, one after the other (python -m benchmarks.NAME runs one)
	@for file in benchmarks/[a-z]*.py; do \
		name=$$(basename "$$file" .py); echo "== $$name"; \
		$(PYTHON) -m "benchmarks.$$name" || exit 1; \
	done

# Lock files are compiled, never edited. Add UPGRADE=--upgrade to move to newer releases.
lock: setup ## compile the lock files again from pyproject.toml
	$(UV_COMPILE) $(UPGRADE) $(PY311) requirements/uv.in -o requirements/uv.txt
	$(UV_COMPILE) $(UPGRADE) $(PY311) pyproject.toml --extra edge --extra central --extra dev -o requirements/all-py311.txt
	$(UV_COMPILE) $(UPGRADE) $(PY311) pyproject.toml --extra edge -o requirements/edge-py311.txt
	$(UV_COMPILE) $(UPGRADE) $(PY313) pyproject.toml --extra edge -o requirements/edge-py313.txt
	$(UV_COMPILE) $(UPGRADE) $(PY313) -c requirements/edge-py313.txt pyproject.toml --extra edge requirements/test-edge.in -o requirements/test-py313.txt
	$(UV_COMPILE) $(UPGRADE) $(PY313) requirements/test-homeassistant.in -o requirements/test-homeassistant.txt

clean: ## remove caches and build leftovers (.venv stays)
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
