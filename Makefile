# Two commands do everything in a fresh clone: `make run` serves, `make test` checks. What they made once is made again only
# when what it came from has changed.

PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
VENDOR := static/vendor/htmx.min.js static/vendor/socket.io.min.js

.DELETE_ON_ERROR:
.PHONY: run test prove lint format bench install install-test machine-parts clean

run: install
	@exec bin/run

test: install-test machine-parts lint
	.venv/bin/python -m pytest

# A thousand takeovers at random points of running replies, on each database; prints the seed. About two minutes on two cores.
prove: install-test machine-parts
	.venv/bin/python -m pytest tests/test_prove.py -n 2 --takeovers 1000 -rP

lint: install-test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: install-test
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

# Ratios to a reference inside the same run, on both databases; about five minutes on two cores.
bench: install-test machine-parts
	.venv/bin/python -m benchmarks.lanes
	.venv/bin/python -m benchmarks.takeovers
	.venv/bin/python -m benchmarks.fanout

install: .venv/run.stamp $(VENDOR)

install-test: .venv/test.stamp $(VENDOR)

machine-parts:
	@bin/install-machine-parts

clean:
	rm -rf .venv node_modules static/vendor *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results

.venv/bin/python:
	@bin/check-tools $(PYTHON)
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml | .venv/bin/python
	$(PIP) install --editable .
	@touch $@

.venv/test.stamp: .venv/run.stamp
	$(PIP) install --editable '.[test]'
	@touch $@

node_modules/.stamp: package.json package-lock.json .npmrc
	@bin/check-tools $(PYTHON)
	npm ci --loglevel=error
	@touch $@

static/vendor/htmx.min.js: node_modules/.stamp
	@mkdir -p $(@D)
	cp node_modules/htmx.org/dist/htmx.min.js $@

static/vendor/socket.io.min.js: node_modules/.stamp
	@mkdir -p $(@D)
	cp node_modules/socket.io-client/dist/socket.io.min.js $@
