# Needs python3 (3.10 to 3.13) with venv, and make; everything else goes into .venv.
#   make demo          install, then name the actions in a video, also with half of the body hidden
#   make test          install what tests need too, and run them
#   make walkthrough   the method end to end: pre-training without labels, probes, occlusions
#   make fuzz          changed files of every kind, COUNT=2000, read under limits (not part of make test)
#   make torture       commands killed KILLS=24 times, two at once, a full disk (not part of make test)
#   make docs          build the documentation in site/
PYTHON ?= python3
DEMO ?= demo
WALKTHROUGH ?= walkthrough
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WANTS := pyproject.toml constraints.txt

.PHONY: demo walkthrough install docs test test-network fuzz torture lint clean

demo: .venv/installed
	$(BIN)/orvpe demo --out $(DEMO)

walkthrough: .venv/installed
	$(BIN)/orvpe walkthrough --out $(WALKTHROUGH)

install: .venv/installed

test: .venv/installed-test
	$(BIN)/python -m pytest -n 2

test-network: .venv/installed-test
	$(BIN)/python -m pytest -n 2 -m network

COUNT ?= 2000
SEED ?= 0
KILLS ?= 24

fuzz: .venv/installed-test
	$(BIN)/python tests/fuzz/fuzz.py --count $(COUNT) --seed $(SEED)

torture: .venv/installed-test
	$(BIN)/python tests/fuzz/torture.py --kills $(KILLS) --seed $(SEED)

lint: .venv/installed-test
	$(BIN)/ruff check src tests examples
	$(BIN)/ruff format --check src tests examples
	$(BIN)/mypy
	$(BIN)/codespell

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

clean:
	rm -rf .venv build dist site src/*.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache $(DEMO) $(WALKTHROUGH)

# The stamps are younger than what they were made from, so nothing is installed twice.
.venv/installed: $(WANTS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable '.[video,web]'
	touch $@

.venv/installed-test: .venv/installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

.venv/installed-docs: .venv/installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@
