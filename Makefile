# All there is to do with this checkout. `make` alone lists it; `make setup CUDA=1` asks for torch with CUDA.
SHELL := /bin/bash
PYTHON := $(or $(RNNPOSE_PYTHON),python3)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup doctor demo test check bench train benchmark-data soak clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## make .venv with everything in it (CUDA=1: torch with CUDA; CUDA=0: back to the CPU build)
	@command -v $(PYTHON) >/dev/null || { echo "setup: $(PYTHON) is not there: sudo apt install python3 python3-venv python3-dev" >&2; exit 2; }
	@$(PYTHON) -m rnnpose_ros.bootstrap $(if $(filter 1,$(CUDA)),--cuda,$(if $(filter 0,$(CUDA)),--cpu))

doctor: setup  ## find out what works on this machine, and what to do about the rest
	@$(BIN)/rnnpose doctor

demo: setup  ## set up, then refine a moving object's pose over real ROS 2 (report in demo_out/)
	@$(BIN)/rnnpose demo

test: setup  ## set up, then run the tests (PYTEST_ARGS="--slow -k solver")
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: setup  ## style, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q test/test_floors.py

bench: setup  ## time one refinement, stage by stage
	@$(BIN)/rnnpose bench

train: setup  ## train the small network on synthetic scenes (see rnnpose train --help)
	@$(BIN)/rnnpose train

benchmark-data: setup  ## render the benchmark SYN into benchmark_data/syn/ (BENCHMARK_ARGS="--edition tiny")
	@$(BIN)/python -c 'import mitsuba' 2>/dev/null || $(BIN)/python -m pip install --quiet -e '.[pathtracer]'
	@$(BIN)/rnnpose benchmark_data $(BENCHMARK_ARGS)

soak: setup  ## what takes long: made-up messages (MESSAGES=1000000), starts and stops (CYCLES=1000), a replay (MINUTES=30)
	PYTHONPATH=test $(BIN)/python -m ros.fuzz_messages --messages $(or $(MESSAGES),100000)
	$(BIN)/rnnpose soak cycles --count $(or $(CYCLES),200)
	$(BIN)/rnnpose soak replay --minutes $(or $(MINUTES),30)

clean:  ## remove .venv and everything that was built
	rm -rf .venv build install log demo_out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
