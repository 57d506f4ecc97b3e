# What there is to do with this project; `make help` lists it. Needs Python >= 3.10 and a C compiler.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 3000
EXAMPLE ?= minimal
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := $(wildcard src/fastsio/*.pyx src/fastsio/*.pxd src/fastsio/*/*.pyx src/fastsio/*/*.pxd src/fastsio/*/*.py)
export PYTHON

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build dev debug demo client test test-unit test-pythons lint format bench bench-scale bench-clients bench-micro parity screenshot \
	clean distclean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST) | \
		while IFS= read -r line; do printf '  make %-14s %s\n' "$${line%%: *}" "$${line#*: }"; done

build: $(VENV)/.installed ## virtual environment in .venv with fastsio in it, compiled, editable
	@$(MAKE) -s --no-print-directory $(VENV)/.built

# Installing compiles too, so it counts as built.
$(VENV)/.installed: pyproject.toml setup.py
	@scripts/need python compiler
	@echo "-- virtual environment $(VENV), and fastsio in it"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1' 'setuptools>=77' 'cython>=3.1,<4' || \
		{ echo "fastsio: pip could not install the build tools; is the package index within reach?" >&2; exit 1; }
	@$(PIP) install --no-build-isolation --editable .
	@touch $@ $(VENV)/.built

$(VENV)/.built: $(SOURCES)
	@scripts/need compiler
	@echo "-- compiling what changed"
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

dev: build $(VENV)/.dev

$(VENV)/.dev: pyproject.toml
	@echo "-- test and lint tools into $(VENV)"
	@$(PIP) install --group test --group lint
	@touch $@

debug: dev ## debug build (bounds checks, C asserts) in .cache/debug, and the unit tests on it
	@echo "-- debug build"
	@rm -rf .cache/debug
	@FASTSIO_DEBUG=1 $(BIN)/python setup.py --quiet build --build-lib .cache/debug --build-temp build/debug
	@PYTHONPATH=.cache/debug $(BIN)/python -c 'import fastsio._codec as m; assert "/.cache/debug/" in m.__file__, m'
	PYTHONPATH=.cache/debug $(BIN)/python -X dev -m pytest tests/unit $(PYTEST_ARGS)

demo: build ## the example page on http://localhost:3000 (PORT=..., EXAMPLE=chat)
	@scripts/need port:$(PORT)
	@echo "-- examples/$(EXAMPLE) on http://localhost:$(PORT) (Ctrl-C ends it)"
	@PORT=$(PORT) $(BIN)/python examples/$(EXAMPLE)/server.py

client: ## the browser client that the server serves, from its modules in src/fastsio/static/client (needs npm)
	@scripts/need npm
	@scripts/build-client

test: ## everything: installs what the tests need, lints, runs all tests
	@scripts/test-deps
	@$(MAKE) -s --no-print-directory dev
	@$(MAKE) -s --no-print-directory lint
	@mkdir -p .cache
	@status=0; $(BIN)/python -m pytest --junitxml=.cache/junit.xml $(PYTEST_ARGS) || status=$$?; \
		$(BIN)/python scripts/test_summary.py .cache/junit.xml && exit $$status

test-unit: dev ## the tests that need neither network nor Node nor a browser
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

test-pythons: ## the unit tests on each CPython from 3.10 to 3.13 on this machine
	@MAKE="$(MAKE)" scripts/test-pythons

lint: dev ## ruff, cython-lint, mypy --strict, pyright
	@echo "-- lint"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" cython-lint src/fastsio
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright --pythonpath $(BIN)/python

format: dev ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: dev ## server benchmarks against named versions of rivals (bench/README.md)
	$(BIN)/python -m bench.macro

bench-scale: dev ## the same for how cost grows with connections, up to 20,000 (bench/results/scale.md)
	$(BIN)/python -m bench.macro --rows scale --label scale --servers fastsio,node-ws,node-uws,pysio-aiohttp

bench-clients: dev ## client benchmarks against python-socketio's and Node's (bench/results/clients.md)
	$(BIN)/python -m bench.clients

bench-micro: dev ## codec benchmarks beside rivals and bare orjson (bench/results/micro.md)
	$(BIN)/python -m bench.micro

parity: ## docs/reference/parity.md, from parity.txt beside it
	$(PYTHON) scripts/parity

screenshot: dev ## docs/images/*.png, from example pages in headless Chromium
	$(BIN)/python docs/images/screenshot.py

clean: ## remove what building and testing left; keeps .venv and .cache
	rm -rf build dist src/*.egg-info .cache/debug
	find src -name '*.so' -delete -o -name '*.c' -delete
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .cache/junit.xml
	rm -f $(VENV)/.built $(VENV)/.installed
	find src tests bench examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv and .cache too
	rm -rf .venv .cache
