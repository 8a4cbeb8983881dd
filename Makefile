# Every target sets itself up: a virtual environment in .venv, torch first, then netcaliper under constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST_FLAGS ?=

.PHONY: help venv demo test tiny wheel bench coverage scale study studies picture lint format clean

help:
	@echo "make demo    train a deliberately wide CNN on digits, read it, write out/demo/report.html"
	@echo "make test    run every test"
	@echo "make tiny    the four studies at their smallest scale, on digits: out/tiny/*/report.html (a few minutes)"
	@echo "make wheel   build the wheel and try it in a clean environment without extras"
	@echo "make bench   what results/ says, measured again (an hour and a half)"
	@echo "make coverage  read and cut one model of every family of timm and transformers again (hours; it resumes)"
	@echo "make scale   what a decoder of a billion parameters takes, and how cost grows (an hour)"
	@echo "make study   train and read the networks of the studies in results/ (hours; needs CIFAR-10 and Multi30k, see results/README.md)"
	@echo "make studies the four studies on CIFAR-10, for an evening each (goes on where it was stopped; SCALE=paper for a cluster)"
	@echo "make lint    ruff, pyright and the floors (import-linter)"
	@echo "make format  let ruff rewrite what it can"
	@echo "make venv    only install (PYTHON=python3.12 picks another interpreter, 3.11 or later)"
	@echo "make clean   remove .venv and out"

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "netcaliper needs Python 3.11 or later; name one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[test,dev]' -c constraints.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/netcaliper demo -o out/demo

# What the README and results/ say, measured again; about an hour and a half on two cores.
bench: $(STAMP)
	for name in planted_truth provenance in_place static_cost default_reading cka_coverage cka_peers cka_correct blocks predictions exact_shrink; do \
		OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py || exit 1; \
	done
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/needed_resnet50.py
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/bending_cost.py
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/folding.py
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/shrink_cost.py --data $(DATA)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/study_kills.py
	$(BIN)/python benchmarks/study_engines.py

# What netcaliper reads of timm and transformers, and what it can cut; goes on where it was stopped.
coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py --limit 600
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/shrink_coverage.py

scale: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/cost_exponents.py
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/scale_decoder.py

# What results/ says of trained networks, made again: synthetic data, digits, CIFAR-10 (DATA names its folder), Multi30k.
DATA ?= ../shared/data/cifar10
TEXTS ?= ../shared/data/multi30k
study: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/synthetic_mlps.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/cifar_train.py --data $(DATA)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/cifar_widths.py --data $(DATA)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/layers_train.py --data $(DATA)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/layers.py --data $(DATA)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/linearization_digits.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/linearization_cifar.py --data $(DATA)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/translation.py --data $(TEXTS)
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/shrink_train.py --data $(DATA)
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/shrink_peers.py --data $(DATA) --images 3000
	$(BIN)/python benchmarks/shrink_peers.py --summary

STUDIES := frivolous_units wide_and_deep nonlinear_advantage effective_size
tiny: $(STAMP)
	for name in $(STUDIES); do \
		$(BIN)/netcaliper study run studies/$$name.toml --scale tiny -o out/tiny/$$name && \
		$(BIN)/netcaliper study report out/tiny/$$name || exit 1; \
	done

SCALE ?= small
studies: $(STAMP)
	for name in $(STUDIES); do \
		here=out/studies/$$name-$(SCALE); kept=results/studies/$$name-$(SCALE); \
		$(BIN)/netcaliper study run studies/$$name.toml --scale $(SCALE) -o $$here && \
		$(BIN)/netcaliper study report $$here --figures $$kept --formats svg --replace && \
		$(BIN)/netcaliper study export $$here -o $$kept/table.csv --replace && \
		cp $$here/study.json $$kept || exit 1; \
	done
	$(BIN)/python benchmarks/study_claims.py

# The picture of the README, from the demo's reading.
picture: demo
	$(BIN)/netcaliper report out/demo --figures out/figures --formats svg --replace
	mkdir -p results/demo && cp out/figures/partition.svg results/demo/

# One thread a worker: two busy thread pools on two cores are slower than one.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_FLAGS)

wheel: $(STAMP)
	$(BIN)/python tests/check_wheel.py out/wheel

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv out
