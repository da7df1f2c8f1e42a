# make repro: the whole pipeline at the scale of params.yaml; make test: lint, types, tests.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: repro test lowest faults reproducibility benchmark plots ui lock audit

repro: .venv/.installed
	dvc repro
	@ganscribe summary

test: .venv/.installed-dev
	ruff check --no-cache .
	ruff format --check .
	mypy
	pytest -n 2 --dist loadfile --no-loadscope-reorder

# The tests in a second environment, every package at its lower bound in pyproject.toml; needs uv, which .venv has.
lowest: export PATH := $(CURDIR)/.venv-lowest/bin:$(PATH)
lowest: .venv-lowest/.installed
	pytest -n 2 --dist loadfile --no-loadscope-reorder

# A hundred kills of five builds, two at once, a Ray cluster's workers (docs/reliability.md).
faults: .venv/.installed-dev
	pytest -m faults tests/faults tests/execution/engines --ignore tests/faults/test_reproducibility.py

# The whole pipeline twice from scratch, and once with another number of threads.
reproducibility: .venv/.installed-dev
	pytest -m faults tests/faults/test_reproducibility.py

# Whole loops beside the tutorials' way; `python benchmarks --help` names the rows.
benchmark: .venv/.installed
	python benchmarks

plots: .venv/.installed
	dvc plots show

# First what has not been sent, and the addresses of artifacts where the folder was copied or moved.
ui: .venv/.installed
	-@ganscribe runs sync
	mlflow ui --backend-store-uri sqlite:///mlflow.db

# Pinned versions with hashes: of what running needs, of what the tests add to the same versions, and of uv.
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11
lock: .venv/.installed
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock
	$(COMPILE) --group install -o requirements-uv.lock

# Known vulnerabilities of the pinned versions; needs pip-audit and the network.
audit:
	pip-audit --requirement requirements-dev.lock --requirement requirements-uv.lock --require-hashes --disable-pip

# What running needs.
.venv/.installed: install.py requirements.lock requirements-uv.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ganscribe needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	.venv/bin/python install.py requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# What the tests add, with all extras.
.venv/.installed-dev: .venv/.installed requirements-dev.lock
	.venv/bin/python install.py requirements-dev.lock
	touch $@

.venv-lowest/.installed: pyproject.toml | .venv/.installed
	$(PYTHON) -m venv .venv-lowest
	sed -n 's/^    "\(.*\)>=\(.*\)",$$/\1==\2/p' pyproject.toml | uv pip install --python .venv-lowest/bin/python -e . -r -
	touch $@
