# Everything a contributor types. `make` alone prints this list.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check docs clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/installed ## play an owner's story against a real server on the sandbox, and check every figure
	@$(BIN)/rekomi-mcp demo

test: $(VENV)/installed-dev ## run the tests, on SQLite and on a real PostgreSQL
	@$(BIN)/python -m pytest -q -n auto

check: $(VENV)/installed-dev $(VENV)/typings ## lint, format and type checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/installed-dev ## write what is generated again: parts of documents, tool snapshots, Stripe's description
	@$(BIN)/python -m tests.contract.derive
	@$(BIN)/python -m tests.documents
	@$(BIN)/python -m tests.snapshots.refresh

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

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

# Type checkers do not follow the folder map in pyproject.toml: they are shown the two folders by their installed names.
$(VENV)/typings: | $(VENV)/bin/python
	@mkdir -p $@/rekomi_mcp
	@ln -sfn ../../../tools $@/rekomi_mcp/tools
	@ln -sfn ../../../storage $@/rekomi_mcp/storage
