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

# Run the tests in a second environment, with every package at its lower bound in pyproject.toml; uv comes from .venv.
lowest: export PATH := $(CURDIR)/.venv-lowest/bin:$(PATH)
lowest: .venv-lowest/.installed
	pytest -n 2 --dist loadfile --no-loadscope-reorder

# Kill five builds a hundred times, run two builds at once, kill a Ray cluster's workers (docs/reliability.md).
faults: .venv/.installed-dev
	pytest -m faults tests/faults tests/execution/engines --ignore tests/faults/test_reproducibility.py

# Run the whole pipeline twice from scratch, and once with another number of threads.
reproducibility: .venv/.installed-dev
	pytest -m faults tests/faults/test_reproducibility.py

# Time whole trainings, ours and the tutorials'; `python benchmarks --help` names the rows.
benchmark: .venv/.installed
	python benchmarks

plots: .venv/.installed
	dvc plots show

# First send what has not been sent, and correct the addresses of artifacts if the folder was copied or moved.
ui: .venv/.installed
	-@ganscribe runs sync
	mlflow ui --backend-store-uri sqlite:///mlflow.db

# Pin versions with hashes: of what running needs, of what the tests add to these versions, and of uv.
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11
lock: .venv/.installed
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock
	$(COMPILE) --group install -o requirements-uv.lock

# List known vulnerabilities of the pinned versions; this needs pip-audit and the network.
audit:
	pip-audit --requirement requirements-dev.lock --requirement requirements-uv.lock --require-hashes --disable-pip

# Install what running needs.
.venv/.installed: install.py requirements.lock requirements-uv.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ganscribe needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	.venv/bin/python install.py requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Install what the tests add, with all extras.
.venv/.installed-dev: .venv/.installed requirements-dev.lock
	.venv/bin/python install.py requirements-dev.lock
	touch $@

.venv-lowest/.installed: pyproject.toml | .venv/.installed
	$(PYTHON) -m venv .venv-lowest
	sed -n 's/^    "\(.*\)>=\(.*\)",$$/\1==\2/p' pyproject.toml | uv pip install --python .venv-lowest/bin/python -e . -r -
	touch $@
