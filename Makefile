# `make` lists the targets. PYTHON chooses the interpreter of .venv.
PYTHON ?= python3
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PIP := .venv/bin/python -m pip install --disable-pip-version-check --no-deps
# A night starts some hundred Python processes; none should compile again what others have imported.
unexport PYTHONDONTWRITEBYTECODE
COMPOSE ?= $(shell docker info > /dev/null 2>&1 && echo docker compose || echo .venv/bin/podman-compose)
BUILD ?= --build
QUIET := $(if $(MAKE_TERMERR),,--quiet)

# The packages of an image, in the versions of requirements.lock.
image_lock = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 $(2) --generate-hashes \
	    --constraint requirements.lock --no-emit-index-url --no-emit-find-links --no-annotate \
	    --custom-compile-command "make lock" -o docker/$(1).lock pyproject.toml

.PHONY: help setup demo month test quick pytest bench reliability up down docker-test airflow-screenshots lint lock readme card screenshots clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

setup: .venv/installed ## make .venv from requirements.lock

demo: setup ## run one night on a sample day through Airflow and Spark, and show its tables
	@.venv/bin/python -m jobs.operations.demo

month: setup ## 28 days of a small chain whose truth is planted, and what the tables say of it; some fifteen minutes
	@.venv/bin/python -m jobs.operations.month

test: lint pytest ## everything that CI runs: lint, types, import rules, tests

quick: lint ## for the inner loop: lint, types, import rules and the tests that start no Spark, Airflow or server; minutes
	.venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow and not servers"

pytest: setup
	.venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

bench: setup ## speed of the Spark stage, compared with public recipes, Ray Data and Daft; about an hour; figures in .demo/bench.json
	@.venv/bin/python -m tests.benchmarks

reliability: setup ## kills, faults, hostile input, a backfill; about an hour; figures in .demo/reliability.json
	@.venv/bin/python -m tests.reliability

up: setup ## start Airflow, Spark and an S3 server in containers, with a sample day; BASE_IMAGE names their Debian
	docker/make-secrets
	$(COMPOSE) --file docker/compose.yaml up --detach $(BUILD)

down: setup ## stop these containers, and keep their data
	$(COMPOSE) --file docker/compose.yaml down

docker-test: setup ## build the images and run a night in them, with docker or podman; some minutes
	@.venv/bin/python -m tests.docker

airflow-screenshots: setup ## docker-test, and take the pictures of the Airflow UI again
	@.venv/bin/python -m tests.docker --screenshots docker/screenshots

lint: setup ## ruff, mypy and import-linter
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

readme: setup ## render the parts of READMEs that are made from code, and from make demo where it has run
	.venv/bin/python -m jobs.operations.render_readmes

card: setup ## render models/README.md from the figures of the newest model version
	.venv/bin/python -m models.evaluation.model_card

screenshots: setup ## pictures of the report of make month's last day for the READMEs, taken in Chromium
	.venv/bin/python -m tests.browser.take_screenshots

lock: setup ## resolve the dependencies of pyproject.toml again
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements.lock pyproject.toml
	$(call image_lock,airflow,--extra airflow --extra driver --extra postgres --extra report)
	$(call image_lock,spark,--extra driver --extra inference)

clean: ## remove .venv, .demo and caches
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	    || { echo "$(PYTHON) is no Python 3.11 to 3.13; name one, as in: make PYTHON=python3.12" >&2; exit 2; }
	@echo "Setting up .venv from requirements.lock: about 3 GB, a minute with uv, several with pip"
	@if $(PYTHON) -c 'import ensurepip' 2> /dev/null; then \
	    $(PYTHON) -m venv .venv; \
	elif command -v uv > /dev/null; then \
	    uv venv --quiet --allow-existing --python $(PYTHON) .venv; \
	else \
	    echo "$(PYTHON) cannot make environments: install uv, or Debian's python3-venv" >&2; exit 2; \
	fi
	@if ! command -v uv > /dev/null; then \
	    $(PIP) --quiet --require-hashes -r <(sed -n '/^uv==/,/# via/p' requirements.lock) || echo 'no uv for this machine' >&2; \
	fi
	@uv=$$(command -v uv || echo .venv/bin/uv); \
	$$uv pip sync $(QUIET) --python .venv --require-hashes requirements.lock \
	    || { echo "uv could not, so pip does it: this takes several minutes" >&2; \
	         $(PIP) $(QUIET) --require-hashes -r requirements.lock; }
	@$(PIP) --quiet --no-build-isolation --editable .
	@.venv/bin/python -m jobs.operations.class_archive || echo "No class archive: Spark works as well, but starts slowly" >&2
	@touch $@
