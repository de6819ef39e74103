# make run    set up, index this repository into the embedded Milvus, show a search
# make check  set up, check types, style and imports
# make pages  set up, make the pages and drawings of docs/ that follow from the source
# make docs   set up, build the site of docs/ in build/site
# make test   set up, run every test but the slow ones
# make test-slim  install what the default model needs, without torch, and run the tests of that
# make test-pythons  set up, try each Python of this machine, in an environment without torch
# make man    set up, write the manual pages to build/man
# make release-check  set up, build what would be published, and try it
# make test-server  set up, install a real Milvus beside it, run the tests against that
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# More than two processors: some tests wait, for a lock, a time limit or a tick of the clock.
JOBS ?= 5
# The variable silences a notice of the theme about MkDocs 2, which is not what is pinned.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Tests start many commands: without bytecode each compiles the sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-slow test-slim test-pythons test-server check docs pages format man pictures release-check bench bench-peers clean

run: .venv/installed
	$(BIN)/codx-index run .
	$(BIN)/codx-index search "how are stale rows removed" . -k 3

test: .venv/installed-dev
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not server and not slim"

test-slow: .venv/installed-dev
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m slow

test-slim: .venv/installed-dev .venv-slim/installed
	CODX_TEST_SLIM=$(CURDIR)/.venv-slim $(BIN)/pytest -n 0 -m slim

test-pythons: .venv/installed
	$(BIN)/python release/pythons.py

# One Milvus at a time: it takes ports of its own, and most of a processor.
test-server: .venv/installed-dev .venv-milvus/installed
	CODX_TEST_MILVUS=$(CURDIR)/.venv-milvus/bin/python $(BIN)/pytest -n 0 -m server

check: .venv/installed-dev
	$(BIN)/black --check --quiet .
	$(BIN)/isort --check-only --quiet .
	$(BIN)/flake8
	$(BIN)/mypy
	$(BIN)/python benchmarks/imports.py
	$(MKDOCS)

docs: .venv/installed-dev
	$(MKDOCS)

pages: .venv/installed-dev
	$(BIN)/python pages/made.py

format: .venv/installed-dev
	$(BIN)/isort --quiet .
	$(BIN)/black --quiet .

man: .venv/installed
	$(BIN)/python release/man.py

release-check: .venv/installed-release .venv-slim/installed
	$(BIN)/python release/check.py .venv-slim

bench: .venv/installed-bench
	$(BIN)/python benchmarks/first_index.py
	$(BIN)/python benchmarks/updates.py --files 1000,10000
	$(BIN)/python benchmarks/replay.py . --commits 20
	$(BIN)/python benchmarks/masking.py
	$(BIN)/python benchmarks/throughput.py --rounds 1
	$(BIN)/python benchmarks/executors.py --rounds 1
	$(BIN)/python benchmarks/retrieval.py

# Installs the peers into environments of their own, 7 GB.
bench-peers: .venv/installed-bench
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/conformance.py

# What the README shows: sessions at a terminal, and charts of benchmarks/results/*.json.
pictures: .venv/installed-bench
	$(BIN)/python benchmarks/pictures.py

clean:
	rm -rf .venv .venv-milvus .venv-pythons .venv-slim .codx build dist *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: setup.cfg pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-bench: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

.venv/installed-release: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[release]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

requirements-slim.txt: setup.cfg constraints.txt slim/requirements.py | .venv/installed-dev
	$(BIN)/python slim/requirements.py > $@.new
	mv $@.new $@

.venv-slim/installed: requirements-slim.txt slim/trimmed.py slim/*/pyproject.toml
	rm -rf .venv-slim
	$(PYTHON) -m venv .venv-slim
	.venv-slim/bin/python -m pip install --quiet --no-deps --requirement requirements-slim.txt
	.venv-slim/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# The last version with a server in its wheel.
.venv-milvus/installed: | .venv-milvus/bin/python
	.venv-milvus/bin/python -m pip install --quiet milvus==2.3.5
	touch $@

.venv-milvus/bin/python:
	$(PYTHON) -m venv .venv-milvus
