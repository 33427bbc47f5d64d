# `make help` lists the commands. Everything is installed into the active virtual environment, or
# into .venv, which is made where none is active; train-gpu may add .venv-gpu beside a torch that is
# there already.

PYTHON ?= python3
VENV := $(or $(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
# Compiling every file of torch at install time takes longer than `make run` itself.
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check

# Threads of OpenMP that wait sleep soon: ufc_base/computing/thread_pool.py. `ufc` itself sees to it.
export GOMP_SPINCOUNT ?= 1000

OUT ?=
ARGS ?=
CONFIG ?=
CODE := ufc_base vqgan estimators ufc webui benchmarks scripts

.DEFAULT_GOAL := help
SOAK := $(or $(OUT),outputs/soak)

.PHONY: help setup run test soak nightly lint docs sbom audit surface app bench bench-peers fid ablation report \
	train-tokenizer train train-gpu

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ufc-all ## install everything: training, editor, measuring, development

run: $(VENV)/.ufc-core ## generate with the bundled model: words, references, kept blocks
	@$(BIN)/python -m ufc.showcase --output-dir $(or $(OUT),outputs/showcase) $(ARGS)

test: $(VENV)/.ufc-all ## run the tests, those of numbers as with and as without bf16 instructions
	@$(BIN)/python -m pytest -q $(ARGS)
	@$(if $(ARGS),,UFC_CPU_BF16=$$($(BIN)/python -c "from ufc_base.training.processes import \
		cpu_has_bf16; print(int(not cpu_has_bf16()))") $(BIN)/python -m pytest -q -m numerics)

soak: $(VENV)/.ufc-all ## [OUT=folder]: hostile files, work that is killed, fuzzing (hours; goes on where it stopped)
	@PYTHONPATH=.:tests OMP_NUM_THREADS=1 $(BIN)/python -m hostile.soak $(SOAK)/hostile.jsonl $(ARGS)
	@PYTHONPATH=.:tests OMP_NUM_THREADS=1 $(BIN)/python -m hostile.kills $(SOAK)/kills.jsonl
	@if $(BIN)/python -c "import atheris" 2>/dev/null; then \
		PYTHONPATH=.:tests OMP_NUM_THREADS=1 $(BIN)/python -m hostile.fuzz $(SOAK)/fuzz; \
		else echo "no fuzzing: atheris is not installed (pip install atheris)"; fi

nightly: $(VENV)/.ufc-all ## [ARGS="steps"]: tests, browser, sdist, wheel, README, examples, benchmarks, load (over an hour)
	@BIN="$(abspath $(BIN))" bash scripts/nightly.sh $(ARGS)

docs: $(VENV)/.ufc-all ## the documentation as a site, with the reference of every function: outputs/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir $(or $(OUT),outputs/site)
	@echo "$(or $(OUT),outputs/site)/index.html"

sbom: $(VENV)/.ufc-all ## what is installed, as CycloneDX: outputs/sbom.json
	@$(BIN)/python scripts/supply_chain.py sbom $(or $(OUT),outputs/sbom.json)

audit: $(VENV)/.ufc-all ## ask for known holes in the pinned versions (needs a network)
	@$(BIN)/python scripts/supply_chain.py audit

surface: $(VENV)/.ufc-all ## write down the commands and flags that there are now: tests/ufc/cli/surface.txt
	@$(BIN)/python scripts/surface.py tests/ufc/cli/surface.txt

lint: $(VENV)/.ufc-all ## check style and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy $(CODE)

app: $(VENV)/.ufc-all ## open the editor in the browser
	@$(BIN)/ufc app $(ARGS)

bench: $(VENV)/.ufc-core ## measure speed and memory here (idle machine, 5 minutes): docs/performance.md
	@$(BIN)/ufc bench --output benchmarks/results/bench.json $(ARGS)
	@$(BIN)/ufc bench --random-weights --only forward --output benchmarks/results/shape.json
	@$(BIN)/python -m benchmarks.overhead
	@$(BIN)/python -m benchmarks.attention
	@$(BIN)/python -m benchmarks.table

bench-peers: $(VENV)/.ufc-peers ## the same for other programs beside ours (8 minutes)
	@$(BIN)/python -m benchmarks.peers $(ARGS)
	@$(BIN)/python -m benchmarks.table

fid: want-REAL want-FAKE $(VENV)/.ufc-all ## REAL=folder FAKE=folder: Frechet distance between two sets of pictures
	@$(BIN)/ufc evaluate $(FAKE) --real $(REAL) --fid $(ARGS)

ablation: want-REAL want-TRAIN $(VENV)/.ufc-all ## REAL=held-out TRAIN=folder [OUT=docs]: every order at equal passes
	@$(BIN)/ufc evaluate ablation --real $(REAL) --train-data-dir $(TRAIN) \
		--output-dir $(or $(OUT),docs) $(ARGS)

report: want-REAL want-TRAIN $(VENV)/.ufc-all ## REAL=held-out TRAIN=folder [OUT=folder]: all figures on one page
	@$(BIN)/ufc evaluate report --real $(REAL) --train-data-dir $(TRAIN) \
		--output-dir $(or $(OUT),outputs/report) $(ARGS)

train-tokenizer: want-DATA $(VENV)/.ufc-all ## DATA=folder [CONFIG=file] [OUT=folder]: first stage
	@$(BIN)/ufc train-tokenizer --train-data-dir $(DATA) $(if $(CONFIG),--config $(CONFIG)) \
		--output-dir $(or $(OUT),runs/tokenizer) $(ARGS)

train: want-DATA want-TOKENIZER $(VENV)/.ufc-all ## DATA=folder TOKENIZER=folder [CONFIG=file] [OUT=folder]: second stage
	@$(BIN)/ufc train --train-data-dir $(DATA) --tokenizer $(TOKENIZER) \
		$(if $(CONFIG),--config $(CONFIG)) --output-dir $(or $(OUT),runs/model) $(ARGS)

train-gpu: want-DATA ## DATA=folder [MINUTES=25] [OUT=folder] [SMOKE=1]: both stages at 128 px on one GPU
	@DATA="$(DATA)" MINUTES="$(or $(MINUTES),25)" OUT="$(or $(OUT),runs/fashion-128)" \
		PACK="$(PACK)" SMOKE="$(SMOKE)" PYTHON="$(PYTHON)" bash scripts/train_gpu.sh

# Each stamp is made once and again when the versions change.
$(VENV)/.ufc-core: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what generating needs; once, about a minute …"
	@$(PIP) --editable . --constraint requirements.txt
	@touch $@

$(VENV)/.ufc-all: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing everything; once, about two minutes …"
	@$(PIP) --editable . --requirement requirements.txt
	@touch $@ $(VENV)/.ufc-core

$(VENV)/.ufc-peers: benchmarks/peers/requirements.txt | $(VENV)/.ufc-all
	@echo "Installing other programs into $(VENV)/peers; once, about a minute …"
	@$(PIP) --no-deps --upgrade --target $(VENV)/peers --requirement $<
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; try make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "error: $(PYTHON) has no venv; on Debian: apt install python3-venv" >&2; exit 2; }

want-%:
	@test -n "$($*)" || { echo "error: $* is not given; see make help" >&2; exit 2; }
