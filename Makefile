# make repro: the whole pipeline at the scale of params.yaml; make test: lint, types, tests.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: repro test lowest faults reproducibility benchmark plots ui lock audit

repro: .venv/.installed
	dvc repro

test: .venv/.installed
	ruff check --no-cache .
	ruff format --check .
	mypy
	pytest -n 2 --dist loadfile --no-loadscope-reorder

# The tests in a second environment, every package at its lower bound in pyproject.toml; needs uv.
lowest: export PATH := $(CURDIR)/.venv-lowest/bin:$(PATH)
lowest: .venv-lowest/.installed
	pytest -n 2 --dist loadfile --no-loadscope-reorder

# A hundred kills of five builds, two at once, a Ray cluster's workers (docs/reliability.md).
faults: .venv/.installed
	pytest -m faults tests/faults tests/execution/engines --ignore tests/faults/test_reproducibility.py

# The whole pipeline twice from scratch, and once with another number of threads.
reproducibility: .venv/.installed
	pytest -m faults tests/faults/test_reproducibility.py

# Whole loops beside the tutorials' way; `python benchmarks --help` names the rows.
benchmark: .venv/.installed
	python benchmarks

plots: .venv/.installed
	dvc plots show

ui: .venv/.installed
	mlflow ui --backend-store-uri sqlite:///mlflow.db

# Pinned versions with hashes; needs uv.
lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

# Known vulnerabilities of the pinned versions; needs pip-audit and the network.
audit:
	pip-audit --requirement requirements.lock --require-hashes --disable-pip

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ganscribe needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv-lowest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-lowest
	sed -n 's/^    "\(.*\)>=\(.*\)",$$/\1==\2/p' pyproject.toml | uv pip install --python .venv-lowest/bin/python -e . -r -
	touch $@
