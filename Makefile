# make chat: talk. make test: everything. make check: format, lint, types, imports, quick tests. make bench: figures.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Python compiles what it imports by itself; compiling all at once would add 78 MB to a plain install.
NICE_PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile

.PHONY: chat test check lint bench clean

chat: $(VENV)/.chat
	@$(BIN)/backchat chat

test: $(VENV)/.dev debian
	$(BIN)/pytest --numprocesses auto --dist loadscope

check: lint
	$(BIN)/pytest -q --numprocesses auto tests/unit tests/property

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks.startup
	$(BIN)/backchat bench
	$(BIN)/python -m tests.benchmarks.training
	$(BIN)/python -m tests.benchmarks.memory

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.chat: pyproject.toml | $(BIN)/pip
	$(NICE_PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/pip
	$(NICE_PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.chat

# The tests run a private PostgreSQL server and a parser of grammar where these are at hand; as root on Debian we
# fetch them.
.PHONY: debian
debian:
	@{ ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1; } && \
	command -v link-parser >/dev/null 2>&1 || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql link-grammar >/dev/null; \
	else echo "PostgreSQL or link-grammar is not installed: their tests will be skipped" >&2; fi
