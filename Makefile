# The two commands of the README. Both set up everything they need on a fresh Debian or Ubuntu machine.
.PHONY: up down status test test-engines test-netbox lint build clean

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

# Opt-in: counts of a real vLLM on the processor, then frozen and killed. About 25 minutes, ten of them idle.
test-engines:
	@scripts/setup test
	@scripts/setup-engines
	@GIGAWATCH_ENGINES=.engines .venv/bin/python -m pytest tests/engines -m engine -v $(ARGS)

# Opt-in: an inventory from a real NetBox 4.7 with PostgreSQL and Redis. A minute, and twelve the first time.
test-netbox:
	@scripts/setup test
	@scripts/setup-netbox
	@GIGAWATCH_NETBOX=.netbox .venv/bin/python -m pytest tests/netbox -m netbox -v $(ARGS)

lint:
	@scripts/setup test
	@scripts/check --lint-only

build:
	@scripts/setup test
	@.venv/bin/gigawatch build

clean:
	rm -rf .venv .gigawatch .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
