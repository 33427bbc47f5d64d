# `make help` lists the commands. Everything is installed into the active virtual environment, or
# into .venv, which is made where none is active.

PYTHON ?= python3
VENV := $(or $(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
# Compiling every file of torch at install time takes longer than `make run` itself.
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check

OUT ?=
ARGS ?=
CONFIG ?=
CODE := $(sort $(dir $(wildcard vqgan/*.py estimators/*.py ufc/*.py webui/*.py \
	benchmarks/*.py scripts/*.py)))

# need FILE: asks for the target `not-yet` where the file is missing
need = $(if $(wildcard $(1)),,not-yet)

.DEFAULT_GOAL := help
.PHONY: not-yet help setup run test lint app bench fid train-tokenizer train

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ufc-all ## install everything: training, editor, measuring, development

run: $(VENV)/.ufc-core ## draw with the bundled model: words, references, kept blocks
	@$(BIN)/python -m ufc.showcase --output-dir $(or $(OUT),outputs/showcase) $(ARGS)

test: $(VENV)/.ufc-all ## run the tests
	@$(BIN)/python -m pytest -q $(ARGS)

lint: $(VENV)/.ufc-all ## check style and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy $(CODE)

app: $(call need,webui/app.py) $(VENV)/.ufc-all ## open the editor in the browser
	@$(BIN)/ufc app $(ARGS)

bench: $(VENV)/.ufc-core ## time loading and drawing with the bundled model
	@$(BIN)/python -m benchmarks.latency $(ARGS)

fid: want-REAL want-FAKE $(VENV)/.ufc-all ## REAL=folder FAKE=folder: Frechet distance between two sets of pictures
	@mkdir -p $(or $(OUT),outputs)
	@$(BIN)/python -m estimators.fid ref $(REAL) -o $(or $(OUT),outputs)/real.npz
	@$(BIN)/python -m estimators.fid calc $(FAKE) --ref $(or $(OUT),outputs)/real.npz $(ARGS)

train-tokenizer: want-DATA $(VENV)/.ufc-all ## DATA=folder [CONFIG=file] [OUT=folder]: first stage
	@$(BIN)/ufc train-tokenizer --train-data-dir $(DATA) $(if $(CONFIG),--config $(CONFIG)) \
		--output-dir $(or $(OUT),runs/tokenizer) $(ARGS)

train: want-DATA want-TOKENIZER $(VENV)/.ufc-all ## DATA=folder TOKENIZER=folder [CONFIG=file] [OUT=folder]: second stage
	@$(BIN)/ufc train --train-data-dir $(DATA) --tokenizer $(TOKENIZER) \
		$(if $(CONFIG),--config $(CONFIG)) --output-dir $(or $(OUT),runs/model) $(ARGS)

# Each stamp is made once and again when the versions change.
$(VENV)/.ufc-core: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what drawing needs; once, about a minute …"
	@$(PIP) --editable . --constraint requirements.txt
	@touch $@

$(VENV)/.ufc-all: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing everything; once, about two minutes …"
	@$(PIP) --editable . --requirement requirements.txt
	@touch $@ $(VENV)/.ufc-core

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; try make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "error: $(PYTHON) has no venv; on Debian: apt install python3-venv" >&2; exit 2; }

want-%:
	@test -n "$($*)" || { echo "error: $* is not given; see make help" >&2; exit 2; }

not-yet:
	@echo "this version does not have it yet" >&2; exit 1
