# Every target sets up what it needs; nothing but Python >= 3.11 and make is expected beforehand.
# All paths are relative: the checkout may lie in a folder whose name has spaces.
PYTHON ?= python3
PY := .venv/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: run test lint fmt bench bench-compare soak requirements

run: .venv/installed
	@exec $(PY) manage.py up

test: lint
	@$(PY) -m pytest -n 2

lint: .venv/installed-dev
	@$(PY) -m ruff format --check --quiet . || { echo 'Not formatted: run `make fmt`.'; exit 1; }
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PY) manage.py makemigrations --check --dry-run

fmt: .venv/installed-dev
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: .venv/installed-dev
	@$(PY) -m tests.benchmarks $(ARGS)

# make bench-compare REF=main: the same figures for another commit, the rounds interleaved.
bench-compare: .venv/installed-dev
	@$(PY) -m tests.benchmarks --compare "$(REF)" $(ARGS)

# 500 random schedules and 10 minutes of load; make soak ARGS='--schedules 50 --minutes 1' for less.
soak: .venv/installed-dev
	@$(PY) -m tests.soak $(ARGS)

# After editing the dependencies in pyproject.toml.
requirements: .venv/installed-dev
	@$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-emit-index-url --custom-compile-command "make requirements" \
	  pyproject.toml -o requirements.txt
	@$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-emit-index-url --custom-compile-command "make requirements" \
	  --group dev -c requirements.txt -o tests/requirements.txt

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("EXAI needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	@test -x $(PY) || { echo 'Making .venv'; $(PYTHON) -m venv .venv; }
	@echo 'Installing the requirements (once; about a minute)'
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed tests/requirements.txt
	@echo 'Installing what the tests need'
	@$(PIP_INSTALL) -r tests/requirements.txt
	@touch $@
