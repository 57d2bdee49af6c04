# The two commands of the README. Both set up everything they need on a fresh Debian or Ubuntu machine.
.PHONY: up down status test lint build clean

up:
	@scripts/setup up
	@.venv/bin/gigawatch up $(ARGS)

down:
	@.venv/bin/gigawatch down

status:
	@.venv/bin/gigawatch status

test:
	@scripts/setup test
	@scripts/check

lint:
	@scripts/setup test
	@scripts/check --lint-only

build:
	@scripts/setup test
	@.venv/bin/gigawatch build

clean:
	rm -rf .venv .gigawatch .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
