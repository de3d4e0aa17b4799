# Everything a user or a contributor runs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# NVIDIA GPUs: `make setup RUNTIME=gpu`. onnxruntime and onnxruntime-gpu overwrite each other's
# files, so an environment has one of them; change your mind with `make clean` first.
RUNTIME ?= cpu

# Tests that put load on servers, and look at what comes of it: they run alone.
LOADING := $(addprefix tests/integration/test_,bench.py lifecycle.py rollout.py scenarios.py)

.DEFAULT_GOAL := help
.PHONY: help setup models serve test check bench bench-peers clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# Where pip's usual index has torch for CUDA only, gigabytes of it, name PyTorch's own index of
# builds for CPUs in PIP_EXTRA_INDEX_URL.
setup: $(STAMP) ## Make .venv with the penstock command in it

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(RUNTIME),optimize,torch,text,minilm,ray,redis,bench,dev]'
	@touch $@

models: setup ## Build the models that come with the repository, where they are missing
	@$(BIN)/python models/build.py

serve: models ## Serve the models that come with it, and print a request to try
	@echo
	@echo "Try, from another terminal:"
	@echo "  curl -d @models/fraud/request.json localhost:8000/v2/models/fraud/infer"
	@echo
	@$(BIN)/penstock serve models

check: setup ## Format, lint, types, import order, unit tests
	@scripts/check

test: models ## All of check, then conformance and integration, then on a Ray cluster of its own
	@scripts/check
	@$(BIN)/python -m pytest $(LOADING)
	@$(BIN)/python -m pytest tests/conformance tests/integration tests/gpu $(LOADING:%=--ignore=%) \
		--numprocesses auto --dist loadfile
	@$(BIN)/python -m pytest tests/ray

bench: models ## The smoke gate: measure `fraud`, compare with the last commit, and judge
	@$(BIN)/penstock bench smoke

bench-peers: models ## Penstock beside PyTriton, MLServer, LitServe, BentoML and Ray Serve (an hour)
	@$(BIN)/python -m benchmarks.peers

clean: ## Remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
