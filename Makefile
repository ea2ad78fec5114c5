# `make demo` and `make test` are all that a newcomer needs: each sets up .venv first.
#   make demo ARGS="--family half-cheetah-velocity"
#   make test ARGS="-k vector -x"
#   make test PYTHON=python3.12

PYTHON ?=
ARGS ?=
PY := .venv/bin/python
COVERAGE := --cov --cov-report=term:skip-covered

# Threads that spin while they wait take the core from whoever has work to do.
export OMP_WAIT_POLICY := passive
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-metaworld test-carl check format bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 24

setup: ## make or repair .venv (every other target does this first)
	@.ci/setup

demo: setup ## train on point-goal, evaluate with and without generated data (ARGS="--family …")
	@$(PY) -m metarl_gan demo $(ARGS)

test test-metaworld test-carl: export OMP_NUM_THREADS := 1
test test-metaworld test-carl: export MKL_NUM_THREADS := 1
test test-metaworld test-carl: export OPENBLAS_NUM_THREADS := 1
test: setup ## the whole suite with doctests and coverage (ARGS="-k name")
	$(PY) -m pytest $(COVERAGE) $(ARGS)

test-metaworld: ## what needs Meta-World, in an environment of its own (.venv-metaworld)
	@.ci/setup metaworld
	.venv-metaworld/bin/python -m pytest tests/optional/test_metaworld.py $(ARGS)

test-carl: ## what needs CARL or MiniGrid, in an environment of its own (.venv-carl)
	@.ci/setup carl
	.venv-carl/bin/python -m pytest tests/optional/test_carl.py tests/optional/test_minigrid.py $(ARGS)

check: setup ## formatting, lint, types, layers
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m pyrefly check
	$(PY) -m pytest --quiet tests/test_layers.py tests/test_style.py

format: setup ## format and mend what lint can mend
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: setup ## speed of collection and imagination on this machine
	@$(PY) -m metarl_gan bench $(ARGS)

clean: ## remove caches and build outputs; runs/ and .venv stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
