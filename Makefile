# make serve: install what is missing and start the server.  make test: install and run the tests.  make help: the rest.

PYTHON ?= python3
EXTRAS ?=
VENV := .venv
BIN := $(VENV)/bin
comma := ,
# One for each set of extras: with others than last time, they are installed.
WITH := $(if $(EXTRAS),+$(subst $(comma),+,$(EXTRAS)))
INSTALLED := $(VENV)/.installed$(WITH)
INSTALLED_DEV := $(VENV)/.installed-dev$(WITH)

.DEFAULT_GOAL := help
.PHONY: help serve test demo check format docs bench clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

serve: $(INSTALLED) ## Start the server on PORT (default 8000)
	@exec $(BIN)/steno serve

demo: $(INSTALLED) ## Start a server, transcribe the shipped sample through it, stop
	@$(BIN)/steno demo

test: $(INSTALLED_DEV) ## Run the tests
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED_DEV) ## ruff, mypy --strict and the import rules, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED_DEV) ## Let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Write the generated parts of the documentation
	$(BIN)/python docs/generate.py

bench: $(INSTALLED_DEV) ## Run the benchmarks, quickly; results go to out/
	for name in footprint captions batch; do $(BIN)/python -m benchmarks.$$name --quick --json out/$$name.json || exit 1; done

clean: ## Remove everything that make has made
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "steno needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing: on Debian and Ubuntu, 'apt install python3-venv'"; exit 1; }

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	@echo "installing steno into $(VENV) (about half a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(if $(EXTRAS),[$(EXTRAS)])'
	@touch $@ $(VENV)/.installed

$(INSTALLED_DEV): pyproject.toml | $(VENV)/bin/python
	@echo "installing steno and its development tools into $(VENV) (about a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev$(if $(EXTRAS),$(comma)$(EXTRAS))]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-dev $(INSTALLED)
