# What to do with this repository, one word each. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
ARGS ?=

.PHONY: help
help: ## List these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: venv
venv: $(COMPILED) ## Make .venv with all that is needed, and compile the hot modules (again only when something changed)

$(INSTALLED): pyproject.toml client/pyproject.toml constraints.txt
	@if ! command -v $(PYTHON) >/dev/null; then
		echo "$(PYTHON) was not found: install Python 3.11 or newer, or name it: make venv PYTHON=python3.11" >&2; exit 1
	fi
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
		echo "$$($(PYTHON) --version) is too old: 3.11 or newer is needed; name one: make venv PYTHON=python3.11" >&2; exit 1
	fi
	if ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then
		echo "$(PYTHON) has no venv module: install it (Debian: apt install python3-venv)" >&2; exit 1
	fi
	if ! [ -x $(BIN)/python ]; then
		echo "Making the virtual environment $(VENV) with $$($(PYTHON) --version) ..." >&2
		$(PYTHON) -m venv $(VENV)
	fi
	echo "Installing creditmeter and its tools into $(VENV), with its hot modules compiled (a minute or two) ..." >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' -e client
	touch $@

# After an edit of a hot module, tests and lint run without a build: it is interpreted then, and says so.
$(COMPILED): $(INSTALLED) setup.py $(wildcard metering/compiled/*.py metering/*.py schemas/*.py streams/rating/*.py)
	@if ! $(BIN)/python -m metering.compiled >/dev/null; then
		echo "Compiling the hot modules anew (up to a minute) ..." >&2
		mkdir -p build
		if ! $(BIN)/python setup.py --quiet build_ext --inplace >build/compiled.log 2>&1; then cat build/compiled.log >&2; exit 1; fi
	fi
	echo "creditmeter's hot modules are $$($(BIN)/python -m metering.compiled)" >&2
	touch $@

.PHONY: services
services: venv ## Say how the tests get Kafka and ClickHouse here, or what to install
	@$(BIN)/python -m local

# Four processes also where there are two processors: much of the time goes into waiting for Kafka.
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: venv ## Run the tests, the quick ones first (ARGS="-k name" picks some, ARGS="-n 0" one after another)
	@cat >&2 <<-END
		This runs every test: those that need no service first, then those on a real Kafka broker and a real ClickHouse
		server, some of which are killed on purpose. It takes 20 to 25 minutes on two cores; make test-quick takes one.
		What the tests need and this machine does not have is fetched first, without root:
	END
	$(BIN)/python -m local --fetch
	$(PYTEST) $(ARGS)

.PHONY: test-quick
test-quick: $(INSTALLED) ## Run the pure tests and the contracts over memory: about a minute, for everyday work (ARGS as above)
	@$(BIN)/python -m tests.quick $(ARGS)

.PHONY: lint
lint: lint-style lint-types lint-layers lint-layout lint-schemas lint-compose ## Check style, types, layers, schemas and docker-compose.yml

.PHONY: lint-style
lint-style: $(INSTALLED)
	@echo "== ruff" >&2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: lint-types
lint-types: $(INSTALLED)
	@echo "== mypy" >&2
	$(BIN)/mypy
	$(BIN)/mypy --config-file client/pyproject.toml

.PHONY: lint-layers
lint-layers: $(INSTALLED)
	@echo "== import-linter" >&2
	$(BIN)/lint-imports

.PHONY: lint-layout
lint-layout: $(INSTALLED)
	@echo "== sizes and names" >&2
	$(BIN)/python -m pytest -q tests/test_layout.py

.PHONY: lint-schemas
lint-schemas: $(INSTALLED)
	@echo "== Avro schemas" >&2
	$(BIN)/python -c '
	from schemas.catalog import current, released, short_name
	from schemas.resolution import adapter
	# each released version must read ours, and ours each released one
	for old in released(): adapter(old, current(short_name(old))); adapter(current(short_name(old)), old)
	print(f"{len(released())} released schemas: compatible both ways")
	'

.PHONY: lint-compose
lint-compose: $(INSTALLED)
	@echo "== docker-compose.yml" >&2
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

.PHONY: bench
bench: venv ## Measure events a second against plain Faust and the ceiling (ARGS=--peers: Kafka Streams and Quix Streams too)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: demo
demo: venv ## See it charge: a minute with example events, from Kafka to SQL
	@$(BIN)/python -m cli.demo $(ARGS)

.PHONY: up
up: venv ## Start everything on this machine, in the background
	@$(BIN)/creditmeter up --detach $(ARGS)

.PHONY: down
down: venv ## Stop what `make up` started; its data stays
	@$(BIN)/creditmeter down $(ARGS)

.PHONY: clean
clean: ## Remove what the tools leave behind, the compiled modules too; .venv and all data stay
	@echo "Removing caches and build leftovers ..." >&2
	rm -f $(COMPILED) metering/compiled/built.json metering/compiled/*.so metering/*.so schemas/*.so streams/rating/*.so
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
