# The recipes of this repository; `make` alone lists them. Each sets up what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup check format test demo bench lock clean

# Every folder of tests/ with tests in it, with the seconds it may take on two cores.
SUITES := unit=120 property=330 contract=420 integration=420 compat=420 e2e=390 chaos=540
BIN := .venv/bin

help: ## list these recipes
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | while IFS=$$'\t' read -r name text; \
		do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: ## make .tools/ and .venv/ (the other recipes do this themselves)
	@tools/setup dev

check: setup ## format, lint, types, import rules, unit and property tests: under a minute
	@tools/check $(filter unit=% property=%,$(SUITES))

format: setup ## put the code into the project's format
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

test: setup ## all tests, with the real services they need; one suite: make test SUITES=e2e=330
	@tools/system-packages test
	@tools/suites $(SUITES)

demo: ## the whole platform on this machine: a task of many instances on real text, in under a minute
	@tools/setup run
	@tools/system-packages demo
	@$(BIN)/python demo/run.py

bench: setup ## measure, with a bare spawn loop on this machine as the yardstick
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/search.py

lock: setup ## pin the requirements anew from the pyproject.toml files
	@tools/lock

clean: ## remove everything that the recipes made
	rm -rf .tools .venv .compat .cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis demo-results
