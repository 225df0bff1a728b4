# Everything a contributor types. `make` alone prints this list.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/outside/node_modules
# Tests wait a third of their time for servers and processes of their own, so there is room for half as many again.
WORKERS = $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) * 3 // 2)")

.DEFAULT_GOAL := help
.PHONY: help demo test check bench load docs outside inspector conformance tdqs fuzz browser installs audit clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(VENV)/installed ## play an owner's story against a real server on the sandbox, and check every figure
	@$(BIN)/rekomi-mcp demo

test: $(VENV)/installed-dev ## run the tests, on SQLite and on a real PostgreSQL
	@$(BIN)/python -m pytest -q -n $(WORKERS)

check: $(VENV)/installed-dev $(VENV)/typings ## lint, format and type checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/installed-dev ## measure speed and memory beside their floors, with a million sales; takes about 15 minutes
	@$(BIN)/python -m tests.benchmarks

load: $(VENV)/installed-dev ## deliver 100,000 webhooks in any order to a real server, and check every sale; takes about 15 minutes
	@$(BIN)/python -m tests.load

outside: inspector conformance tdqs fuzz browser installs ## let programs of others look at the server: the next six

inspector: $(VENV)/installed-dev $(NODE)/installed ## the MCP inspector, on stdio and HTTP, in both eras of the protocol; needs npm
	@$(BIN)/python -m tests.outside.inspector

conformance: $(VENV)/installed-dev $(NODE)/installed ## the MCP conformance suite, the scored sets of both eras; needs npm
	@$(BIN)/python -m tests.outside.conformance

tdqs: $(VENV)/installed-dev ## TDQS, a linter of tool definitions
	@$(BIN)/python -m tests.outside.tdqs

fuzz: $(VENV)/installed-dev ## Schemathesis on /openapi.json, with a token of every plan and scope
	@$(BIN)/python -m tests.outside.fuzz

browser: $(VENV)/installed-outside ## a real Chromium on a brand's site, with links and the tracking script; skipped where there is none
	@$(BIN)/python -m tests.outside.browser

installs: $(VENV)/installed-outside ## build the package, install it with uvx and pipx, and work with it as an assistant
	@$(BIN)/python -m tests.outside.installs

docs: $(VENV)/installed-dev ## write what is generated again: parts of documents, tool snapshots, Stripe's description
	@$(BIN)/python -m tests.contract.derive
	@$(BIN)/python -m tests.documents
	@$(BIN)/python -m tests.snapshots.refresh

audit: $(VENV)/installed-outside ## look for known vulnerabilities in what is installed (asks PyPI)
	@$(BIN)/python -m pip freeze --exclude-editable > $(VENV)/audited.txt
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(VENV)/audited.txt $(AUDIT)

clean: ## remove what the other targets made
	rm -rf $(VENV) $(NODE) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing rekomi-mcp into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing rekomi-mcp and its development tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-outside: pyproject.toml | $(VENV)/bin/python
	@echo "Installing rekomi-mcp and what looks at it from outside into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[outside]'
	@touch $@ $(VENV)/installed-dev $(VENV)/installed

# With a Node of its own among the packages: npm needs one to start with, but the version of that does not matter.
$(NODE)/installed: tests/outside/package.json tests/outside/package-lock.json
	@echo "Installing the npm programs into $(NODE) ..."
	@npm ci --prefix tests/outside --silent --no-audit --no-fund
	@touch $@

# Type checkers do not follow the folder map in pyproject.toml: they are shown the two folders by their installed names.
$(VENV)/typings: | $(VENV)/bin/python
	@mkdir -p $@/rekomi_mcp
	@ln -sfn ../../../tools $@/rekomi_mcp/tools
	@ln -sfn ../../../storage $@/rekomi_mcp/storage
