# `make demo` and `make test` do all the set-up there is; they need python3 >= 3.11 with venv and pip, and a package index.

PYTHON ?= python3
ARGS ?=
# Processes that the suite is spread over: much of it waits for sound. A file's tests stay together, with what they share.
WORKERS ?= 2

# Each folder tests/compat/<client> with a lock file is a foreign client, tested from an environment of its own.
# Those in Python have a requirements.lock, those of Node a package-lock.json without addresses: the user's npm knows them
# (renewed by `npm install --package-lock-only --omit-lockfile-registry-resolved --save-exact PACKAGE` in the folder).
PYTHON_CLIENTS := $(patsubst tests/compat/%/requirements.lock,%,$(wildcard tests/compat/*/requirements.lock))
NODE_CLIENTS := $(patsubst tests/compat/%/package-lock.json,%,$(wildcard tests/compat/*/package-lock.json))
CLIENTS := $(PYTHON_CLIENTS) $(NODE_CLIENTS)

.PHONY: help demo test check bench bench-speech lock clean .venv $(CLIENTS:%=.venv-compat-%)

help:
	@echo 'make demo     hold a conversation on this machine and look at it'
	@echo 'make test     run the test suite (ARGS="-k barge_in" for some of it)'
	@echo 'make check    linter, formatter, types, architecture'
	@echo 'make bench    measure, about 20 minutes (ARGS="echo chaos" for some of it, ARGS=--list for what there is)'
	@echo 'make bench-speech  measure on the speech corpora'
	@echo 'make .venv    install everything into .venv, nothing else'
	@echo 'make lock     renew requirements.lock: the newest of everything'
	@echo 'make clean    remove all that make has made'

demo: .venv/.installed
	.venv/bin/antiphon demo $(ARGS)

# A client that cannot be installed (no network) has its tests skipped, or failed under ANTIPHON_REQUIRE_ALL=1.
test: .venv/.installed
	@$(MAKE) --no-print-directory --keep-going $(CLIENTS:%=.venv-compat-%) || echo 'not every foreign client is installed' >&2
	.venv/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

check: .venv/.installed
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports --no-logo

# Pipecat and LiveKit are measured beside it where .venv-peers is (python -m benchmarks.peers --install).
bench: .venv/.installed
	.venv/bin/python -m benchmarks $(ARGS)

bench-speech: .venv/.installed
	.venv/bin/python -m benchmarks --speech $(ARGS)

# ----------------------------------------------------------------------------------------------------- environments

.venv: .venv/.installed

# pip 25.1 is the first that knows dependency groups.
.venv/.installed: pyproject.toml requirements.lock
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet 'pip>=25.1'
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --group dev --editable '.[all]'
	@touch $@

$(CLIENTS:%=.venv-compat-%): .venv-compat-%: .venv-compat/%/.installed

$(PYTHON_CLIENTS:%=.venv-compat/%/.installed): .venv-compat/%/.installed: tests/compat/%/requirements.lock
	test -x .venv-compat/$*/bin/python || $(PYTHON) -m venv .venv-compat/$*
	.venv-compat/$*/bin/python -m pip install --quiet $(PIP_OPTIONS) --requirement $<
	@touch $@

# It asks for PyAudio, which has no wheel for Linux and is not used; all else that it needs is in its lock file.
.venv-compat/llama_index/.installed: PIP_OPTIONS := --no-deps

$(NODE_CLIENTS:%=.venv-compat/%/.installed): .venv-compat/%/.installed: tests/compat/%/package-lock.json
	mkdir -p .venv-compat/$*
	cp tests/compat/$*/package.json $< .venv-compat/$*
	npm ci --prefix .venv-compat/$* --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

# Renew with the oldest Python that is supported: it needs the most packages.
# pocketsphinx 5.1 has no wheel for CPython 3.12, and a fresh machine has no compiler: there it stays at 5.0.4.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet 'pip>=25.1'
	.venv-lock/bin/python -m pip install --quiet --group dev --editable '.[all]'
	.venv-lock/bin/python -m pip freeze --exclude-editable > .venv-lock/freeze
	{ grep '^#' requirements.lock; \
	  sed '/^pocketsphinx==/s/$$/; python_version != "3.12"/' .venv-lock/freeze; \
	  echo 'pocketsphinx==5.0.4; python_version == "3.12"'; } > .venv-lock/requirements.lock
	mv .venv-lock/requirements.lock requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-compat .venv-lock .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist src/*.egg-info
