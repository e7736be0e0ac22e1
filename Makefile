# Holdfast. `make` alone lists what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MEMBERS := libs/common libs/testkit services/ocpp-edge services/mode-manager services/rule-service services/journal services/reconciler services/monitor services/csms-bridge simulators cli
READY  := $(VENV)/.ready
SEEDS  ?= 200
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup nats check fmt lint types test unit sim contract integration drills bench fuzz demo up docs lock clean

help:  ## what you can do here
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(READY) nats  ## Python environment from the locks, and a nats-server

$(READY): requirements/dev.txt $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Holdfast needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "installing pinned packages (about a minute the first time) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python $(addprefix -e ,$(MEMBERS))
	@touch $@

nats: $(READY)  ## find a nats-server >= 2.14, or unpack one into .tools/
	@deploy/nats/obtain.sh

check: fmt-check lint types unit  ## what must be green before a commit (no broker needed)

fmt: $(READY)  ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix --quiet .

.PHONY: fmt-check
fmt-check: $(READY)
	@$(BIN)/ruff format --check --quiet .

lint: $(READY)  ## ruff, and who may import whom
	@$(BIN)/ruff check --quiet . && $(BIN)/lint-imports --no-cache

types: $(READY)  ## mypy, strict
	@$(BIN)/mypy $(addsuffix /src,$(MEMBERS))

unit: $(READY)  ## unit and property tests
	@$(BIN)/pytest libs services cli simulators tests/test_tidy.py -n 2

sim: $(READY)  ## simulate whole sites: SEEDS=200, or one with SEED=123
	@$(BIN)/pytest tests/simulation -n 2 $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

contract: setup  ## one suite on the simulated bus and on a real nats-server
	@$(BIN)/pytest tests/contract

integration: setup  ## the shipped processes on a real nats-server
	@$(BIN)/pytest tests/integration -n 3 --dist worksteal

test: setup  ## everything, on a fresh machine too
	@$(MAKE) --no-print-directory fmt-check lint types
	@$(BIN)/pytest libs services cli simulators tests/test_tidy.py tests/contract tests/simulation tests/transparency -n 2 --seeds $(SEEDS)
	@$(MAKE) --no-print-directory integration

demo: setup  ## the main job: a site, a cloud, a minute without WAN, a report
	@$(BIN)/holdfast drill

up: setup  ## the same world, kept running with its pages
	@$(BIN)/holdfast up --simulate

drills: setup  ## the long campaign: every scenario, then every kill in the standard drill (half an hour)
	@for it in cli/src/holdfast_cli/scenarios/*.yaml; do $(BIN)/holdfast drill --quiet --scenario $$it || exit 1; done
	@HOLDFAST_KILL_SCENARIO=standard $(BIN)/pytest tests/integration -k killing -n 2

bench: setup  ## a driver's wait, a day's backlog (EVENTS=100000), ocpp-edge's hot path beside a naive broker (ROUNDS=3)
	@$(BIN)/python tests/bench/authorise.py
	@$(BIN)/python tests/bench/replay.py --events $(or $(EVENTS),100000)
	@$(BIN)/python tests/bench/edge.py --rounds $(or $(ROUNDS),3)

fuzz: setup  ## frames of charge points made at random: SECONDS=60 of each way, SEED=; FRAMES=1000000 for goal G16
	@$(BIN)/python tests/fuzz/edge_frames.py --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python tests/fuzz/edge_coverage.py --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) || [ $$? -eq 2 ]
	@$(BIN)/python tests/fuzz/edge_service.py $(if $(FRAMES),--frames $(FRAMES),--seconds $(or $(SECONDS),60)) $(if $(SEED),--seed $(SEED))

docs: $(READY)  ## write the generated documents anew
	@$(BIN)/python -m holdfast.asyncapi > docs/spec/asyncapi.json
	@$(BIN)/python -m holdfast.ocpp > docs/spec/actions.md
	@$(BIN)/python -m mode_manager.spec > docs/spec/modes.md
	@$(BIN)/python -m holdfast.mode_card > docs/spec/mode-card.md
	@$(BIN)/python -m rule_service.schema > docs/spec/rules.schema.json
	@$(BIN)/python -m holdfast_cli.command_table > docs/spec/commands.md
	@$(BIN)/python -m rule_service.schema draft > docs/spec/rules-draft.schema.json

lock: $(READY)  ## write the lock files anew
	@requirements/lock.sh

clean:  ## remove what was built
	rm -rf build .venv .tools
