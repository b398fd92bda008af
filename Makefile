# The commands of a developer. `make` alone lists them.
# Everything runs in .venv, which is built from tests/requirements.lock; nothing is installed outside of this folder.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Home Assistant needs Python 3.13; on Debian 13 that is the system's python3.
HOME_PYTHON ?= /usr/bin/python3
TESTS ?= tests
SEEDS ?= 20
JOBS ?= 4
# Most tests wait for something, so eight run side by side on two cores; the tests of one file stay together, and
# files go in their order: the long ones (crash, scenarios) come before the short ones.
WORKERS ?= 8
# What attacks, overloads, kills and moves it, each to the limit.
HOSTILE := tests/scenarios/simulator/test_hostile.py tests/scenarios/test_broker_chaos.py \
	tests/scenarios/test_hostile_commands.py tests/scenarios/test_senders_load.py tests/scenarios/wecom/test_moving.py \
	tests/unit/store/test_hostile_backup.py \
	tests/unit/store/test_mapped_files.py tests/unit/test_limits.py tests/unit/test_memory.py \
	tests/unit/test_patterns.py tests/unit/wechat/webwx/protocol/test_markup_hostile.py
# What a person types and installs: most of them start many processes.
COMMANDS := $(patsubst %,tests/scenarios/test_%.py,addon check_as command_line container demo demo_parts explain ilink_terminal \
	makefile mosquitto_page postgresql_deployment root_commands run_without_file service setup systemd_notify \
	systemd_unit terminal_login) tests/docs/test_alarm_pages.py tests/docs/test_blocks.py tests/golden
ROBUSTNESS := tests/scenarios/wecom/test_interrupted_sending.py tests/chaos tests/cluster tests/crash tests/fuzz tests/power_cut $(HOSTILE)
EXTERNAL := browser or client or rabbitmq
# What `make test` leaves to words of their own, unless TESTS names it.
ELSEWHERE := $(patsubst %,--ignore=%,$(ROBUSTNESS) $(COMMANDS) tests/node_red) -m "not ($(EXTERNAL))"
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What was asked for, as a shell takes it: to be repeated after something was installed.
AGAIN = $(MAKECMDGOALS)$(if $(ARGS), ARGS='$(ARGS)')

# The tests wait for the disk more than for anything else: what they store goes into memory, where there is enough.
IN_MEMORY := $(shell [ "$$(df -Pm /dev/shm 2>/dev/null | awk 'END {print $$4}')" -gt 4000 ] 2>/dev/null && echo TMPDIR=/dev/shm)

# Set if the locale is Chinese: then what `make demo` says before there is a wx2mqtt is Chinese, too.
ZH := $(filter zh%,$(firstword $(LC_ALL) $(LC_MESSAGES) $(LANG)))

# Tests start Python hundreds of times: compiled modules are kept, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help venv demo run test test-changed test-postgresql test-commands test-robustness coverage test-chaos chaos test-cluster fuzz fuzz-long fuzz-corpus test-home test-external test-node-red unit lint shape mutants docs screenshots site sbom package audit bench bench-peers profile soak power-cut add-on address check lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

venv: .venv/ready  ## the environment of its own, in .venv

# The lock is complete (tests/unit/test_lock.py), so nothing is resolved: pips before 24 take a newer release than the
# locked one for an extra, and fail. Wheels only: what a build from sources needs is not in the lock.
# Debian's python3 comes without venv: one line says so, with the command that installs it.
.venv/ready: tests/requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(if $(ZH),缺少 python3：,python3 is missing: )apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(if $(ZH),需要 Python 3.11 或更新版本，$(PYTHON) 是,Python 3.11 or newer is needed, $(PYTHON) is) $$($(PYTHON) -V): make PYTHON=python3.11 $(AGAIN)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "$(if $(ZH),缺少 python3-venv：apt-get install python3-venv（然后再执行：make $(AGAIN)）,python3-venv is missing: apt-get install python3-venv (and then again: make $(AGAIN)))"; exit 1; }
	@echo "$(if $(ZH),正在用 $$($(PYTHON) -V) 建立 .venv（只需一次，一到三分钟）,building .venv with $$($(PYTHON) -V) (once, one to three minutes))"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
	    -r tests/requirements.lock || \
	{ echo "$(if $(ZH),安装失败：上面出现“No matching distribution”的话，是本机没有适合 $$($(PYTHON) -V) 的 wheel,not installed: a 'No matching distribution' above means no wheel for $$($(PYTHON) -V) on this machine): make PYTHON=python3.13 $(AGAIN)"; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: .venv/ready  ## everything on this machine, with a simulated WeChat and no account
	@$(BIN)/wx2mqtt demo $(ARGS)

run: .venv/ready  ## the real bridge; without a configuration with an embedded broker on 127.0.0.1:1883
	@$(BIN)/wx2mqtt run $(ARGS)

test: .venv/ready  ## all tests but those with a word of their own; TESTS=path and ARGS=... narrow it down
	@$(IN_MEMORY) $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(if $(filter tests,$(TESTS)),$(ELSEWHERE)) $(TESTS) $(ARGS)

# Against origin/main, or against HEAD in a clone without it; BASE= names another commit. ARGS=--list only prints them.
test-changed: .venv/ready  ## the unit tests that belong to what was changed; BASE=main ARGS=--list
	@$(BIN)/python -m tests.changed $(if $(BASE),--base $(BASE)) $(ARGS)

# `make test` has a share of them: tests/scenarios/test_postgresql.py and the kills at every commit.
test-postgresql: .venv/ready  ## all scenarios and crash tests with the store in PostgreSQL (ten minutes)
	@TESTED_STORE=postgresql $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(if $(filter tests,$(TESTS)),tests/scenarios tests/crash,$(TESTS)) $(ARGS)

test-commands: .venv/ready  ## the commands, set-up, demo, add-on, image, units, and the blocks of the pages
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not ($(EXTERNAL))" $(COMMANDS) $(ARGS)

test-robustness: .venv/ready  ## kills at each commit, hostile input, and a bounded share of make chaos, test-cluster, fuzz and power-cut
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ROBUSTNESS) $(ARGS)

# Kills, failures of both ends and generated input at random: the two above do a bounded share of each.
test-chaos: .venv/ready  ## the tests with random input, with many more rounds and examples (an hour)
	@THOROUGH=1 $(BIN)/python -m pytest -n 3 --dist worksteal --timeout 900 -m "chaos or hypothesis" $(TESTS) $(ARGS)

# SEEDS=20 random seeds, JOBS=4 side by side; FIRST= the first seed, FAULTS=1 planted faults, REPORT= a page for the figures.
chaos: .venv/ready  ## the bridge under kills, cut lines and failures, and a judge; SEEDS=20 JOBS=4 FAULTS=1 REPORT=
	@$(BIN)/python -m tests.chaos --seeds $(SEEDS) --jobs $(JOBS) $(if $(FIRST),--first $(FIRST)) $(if $(FAULTS),--faults) \
	    $(if $(REPORT),--report $(REPORT)) $(ARGS)

# SEEDS=3 random seeds, one after the other; FIRST= the first seed, REPORT= a page for the figures, ARGS="--disruption kill".
test-cluster: SEEDS = 3
test-cluster: .venv/ready  ## three bridges, PostgreSQL with a standby, three RabbitMQ, under kills; SEEDS=3 REPORT=
	@$(BIN)/python -m tests.cluster --seeds $(SEEDS) $(if $(FIRST),--seed $(FIRST)) $(if $(REPORT),--report $(REPORT)) $(ARGS)

# Inputs of every parser, from generators and then by coverage. atheris, which looks at the coverage, has no wheel for
# every machine; it stays out of .venv, whose content the lock says.
CASES ?= 2000
fuzz: .venv/ready .cache/atheris  ## every parser with hostile input; CASES=1000000 for a long run, ARGS="target …"
	@$(BIN)/python -m tests.fuzz --both --cases $(CASES) $(ARGS)

fuzz-long: .venv/ready  ## a run of very many inputs that goes on where it was interrupted; CASES=… ARGS="target …"
	@$(BIN)/python -m tests.fuzz --resume .cache/fuzz/long --cases $(CASES) $(ARGS)

.cache/atheris: .venv/ready tests/fuzz/requirements.lock
	@rm -rf $@
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --target $@ \
	    -r tests/fuzz/requirements.lock 2>/dev/null || echo "no wheel of atheris for this machine: without coverage"

fuzz-corpus: .venv/ready  ## grows and minimises tests/fuzz/corpus; CASES=… ARGS="target …"
	@$(BIN)/python -m tests.fuzz --grow --cases $(CASES) $(ARGS)

coverage: .venv/ready  ## all tests, and what they did not reach (a third slower)
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term $(TESTS) $(ARGS)

test-external: .venv/ready  ## the page in Chromium, published clients of WeChat, ntfy and Gotify, ESPHome, RabbitMQ
	@$(BIN)/python -m tests.support.clients
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "$(EXTERNAL)" tests/scenarios tests/docs $(ARGS)

test-node-red: .venv/ready  ## deploy/node-red in a real Node-RED (npm, once, into .cache)
	@$(BIN)/python -m tests.node_red.installed
	@$(BIN)/python -m pytest -n 4 --dist loadfile $(if $(filter tests,$(TESTS)),tests/node_red,$(TESTS)) $(ARGS)

unit: .venv/ready  ## the tests that open no socket
	@$(IN_MEMORY) $(BIN)/python -m pytest tests/unit tests/bridge $(ARGS)

lint: .venv/ready  ## formatting, ruff, mypy --strict and import contracts; all four, also when one fails
	@bad=0; \
	$(BIN)/ruff format --check . || bad=1; \
	$(BIN)/ruff check . || bad=1; \
	$(BIN)/mypy || bad=1; \
	$(BIN)/lint-imports --no-logo || bad=1; \
	exit $$bad

# A real Home Assistant, in an environment of its own: half a gigabyte, under a minute to install.
# Four of its packages come as sources only, and are built with the locked setuptools and a C compiler.
HOME_SOURCES := jsonpath,lru-dict,pyric,pyturbojpeg
.venv-home/ready: tests/home/requirements.lock tests/home/build.lock
	@$(HOME_PYTHON) -c 'import sys; sys.exit(not (3, 13, 2) <= sys.version_info[:3] < (3, 14))' 2>/dev/null || \
	{ echo "Python 3.13.2 or newer (not 3.14) is needed: make HOME_PYTHON=/path/to/python3.13 $(AGAIN)"; exit 1; }
	@$(HOME_PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "$(if $(ZH),缺少 python3-venv：apt-get install python3-venv（然后再执行：make $(AGAIN)）,python3-venv is missing: apt-get install python3-venv (and then again: make $(AGAIN)))"; exit 1; }
	@command -v cc >/dev/null && $(HOME_PYTHON) -c \
	'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || \
	{ echo "a C compiler for Python is missing: apt-get install gcc python3-dev (and then again: make $(AGAIN))"; exit 1; }
	@echo "building .venv-home with Home Assistant (once, one to three minutes)"
	@$(HOME_PYTHON) -m venv --clear .venv-home
	@.venv-home/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
	    -r tests/home/build.lock
	@.venv-home/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: \
	    --no-binary=$(HOME_SOURCES) --no-build-isolation --require-hashes -r tests/home/requirements.lock
	@touch $@

test-home: .venv/ready .venv-home/ready  ## discovery and blueprints in a real Home Assistant (Python 3.13); TESTS=path
	@HOME_ASSISTANT_PYTHON=$(abspath .venv-home/bin/python) \
	    $(BIN)/python -m pytest -n 2 --dist loadfile $(if $(filter tests,$(TESTS)),tests/home,$(TESTS)) $(ARGS)

# The frontend of Home Assistant, for its picture alone: 110 MB, of the version that the locked Home Assistant names.
.cache/home-assistant-frontend: .venv-home/ready tests/home/frontend.lock
	@rm -rf $@
	@.venv-home/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --target $@ \
	    -r tests/home/frontend.lock

# What cannot be made here (no Python 3.13, no npm, no Chinese font) is said, and its pictures stay as they are.
screenshots: .venv/ready  ## the pictures of the documentation, into docs/images; ARGS=page, setup, node-red or home-assistant
	@$(MAKE) -s .cache/home-assistant-frontend || true
	@HOME_ASSISTANT_PYTHON=$$(ls -d $(CURDIR)/.venv-home/bin/python 2>/dev/null) $(BIN)/python -m tests.screenshots $(ARGS)

shape: .venv/ready  ## figures of the code's shape, and what stands behind each
	@$(BIN)/python -m tests.shape $(ARGS)

mutants: .venv/ready  ## small faults that no test notices, by samples (hours; ARGS=--help)
	@$(BIN)/python -m tests.mutants $(ARGS)

docs: .venv/ready  ## all that is written from the code: tables, drawings, man page, config/; says what is missing
	@$(BIN)/python -m tests.docs

# Zensical has an environment of its own, as pip-audit has: its packages are none of the project's.
.venv-site/ready: tests/docs/site.lock
	@$(PYTHON) -m venv --clear .venv-site
	@.venv-site/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
	    -r tests/docs/site.lock
	@touch $@

site: .venv/ready .venv-site/ready  ## the site of the documentation, into site/
	@$(BIN)/python -m tests.docs.site

sbom: .venv/ready  ## all that the bridge installs, as CycloneDX, into dist/
	@$(BIN)/python -m tests.supply_chain sbom dist/wx2mqtt.cdx.json

# What builds has an environment of its own, so that no package of the tests runs where a release is built.
.venv-build/ready: deploy/build.lock
	@$(PYTHON) -m venv --clear .venv-build
	@.venv-build/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
	    -r deploy/build.lock
	@touch $@

# The time of the commit stands in the archives, so two builds of one commit are equal byte for byte.
package: .venv-build/ready  ## wheel and source archive, into dist/
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .venv-build/bin/python -m hatchling build -d dist

# pip-audit has an environment of its own: the thirty packages that it needs are none of the project's.
.venv-audit/ready: tests/audit.lock
	@$(PYTHON) -m venv --clear .venv-audit
	@.venv-audit/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
	    -r tests/audit.lock
	@touch $@

audit: .venv/ready .venv-audit/ready  ## known vulnerabilities of what is installed (needs the internet, and says so)
	@$(BIN)/python -m tests.supply_chain audit

bench: .venv/ready  ## speed and size, as a table
	@$(BIN)/python -m tests.benchmarks $(ARGS)

# Other people's clients come with locks and hashes into .cache/clients, as for the tests that let them live on the simulator.
bench-peers: .venv/ready  ## the same work by itchat-uos, itchat and wecom-aibot-sdk in turns with the bridge, as ratios (pip, once)
	@$(BIN)/python -m tests.benchmarks.peers $(ARGS)

# py-spy has an environment of its own: it is a program that the project does not import.
.venv-profile/ready: tests/benchmarks/profile.lock
	@$(PYTHON) -m venv --clear .venv-profile
	@.venv-profile/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
	    -r tests/benchmarks/profile.lock
	@touch $@

profile: .venv/ready .venv-profile/ready  ## a flame graph of the bridge at work, into dist/; ARGS=burst, messages, commands or start
	@$(BIN)/python -m tests.benchmarks.flame $(ARGS)

HOURS ?= 1
soak: .venv/ready  ## the whole bridge at 50 times the usual traffic for HOURS=1, and whether anything grows
	@$(BIN)/python -m tests.soak --hours $(HOURS) $(ARGS)

CUTS ?= 1000
FAULTS ?=
power-cut: .venv/ready  ## is what was acknowledged on the disk after a power cut: CUTS=1000 random ones; FAULTS=1 plants faults
	@$(BIN)/python -m tests.power_cut --cuts $(CUTS) $(if $(FAULTS),--faults) $(ARGS)

# IMAGES= and PACKAGES= name mirrors of Docker Hub and PyPI. The ZIP is what a release has for the folder `addons`; like
# `make package` it has the time of the commit, so that two of one commit are equal.
ADDON := dist/home-assistant-addon
ADDON_ZIP = $(dir $(ADDON))wx2mqtt-addon.zip
export IMAGES PACKAGES
add-on:  ## the add-on for Home Assistant with all that its image is built from: dist/home-assistant-addon, wx2mqtt-addon.zip
	@sh deploy/home-assistant-addon/pack.sh $(ADDON)
	@rm -rf $(ADDON).zipped $(ADDON_ZIP)
	@mkdir $(ADDON).zipped
	@cp -r $(ADDON) $(ADDON).zipped/wx2mqtt
	@find $(ADDON).zipped -exec touch -d "@$$(git log -1 --format=%ct 2>/dev/null || date +%s)" {} +
	@TZ=UTC $(PYTHON) -m zipfile -c $(ADDON_ZIP) $(ADDON).zipped/wx2mqtt
	@rm -rf $(ADDON).zipped
	@echo "$(ADDON)"
	@echo "$(ADDON_ZIP)"

address: .venv/ready  ## writes where this repository is into every file that says it; URL=https://github.com/OWNER/NAME
	@$(BIN)/python -m tests.release address $(URL)

check: lint test test-commands test-robustness test-external test-node-red  ## what CI does

# uv has an environment of its own: it is a program that resolves, and the project does not import it.
UV := .venv-uv/bin/uv
.venv-uv/ready: tests/resolver.lock
	@$(PYTHON) -m venv --clear .venv-uv
	@.venv-uv/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
	    -r tests/resolver.lock
	@touch $@

# Home Assistant says which version of its frontend it needs, so it is installed before.
lock: .venv-uv/ready .venv-home/ready  ## the newest versions that pyproject.toml allows, with their hashes (internet)
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    -o deploy/requirements.lock pyproject.toml
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --extra dev -c deploy/requirements.lock -o tests/requirements.lock pyproject.toml
	echo hatchling | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate -c tests/requirements.lock -o deploy/build.lock -
	echo 'apprise>=1.9,<3' | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate -c tests/requirements.lock -o deploy/fallback.lock -
	echo 'psycopg[binary]>=3.2,<4' | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate -c tests/requirements.lock -o deploy/postgresql.lock -
	$(UV) pip compile -q --upgrade --python-version 3.13.2 --generate-hashes --no-header --no-annotate \
	    -o tests/home/requirements.lock tests/home/requirements.in
	$(UV) pip compile -q --upgrade --python-version 3.13.2 --generate-hashes --no-header --no-annotate \
	    -o tests/home/build.lock tests/home/build.in
	grep -oh 'home-assistant-frontend==[0-9.]*' .venv-home/lib/python3.13/site-packages/homeassistant/components/frontend/manifest.json | \
	    $(UV) pip compile -q --universal --python-version 3.13.2 --generate-hashes --no-header --no-annotate -o tests/home/frontend.lock -
	echo 'pip-audit>=2.10' | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate -o tests/audit.lock -
	echo 'py-spy>=0.4' | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate -o tests/benchmarks/profile.lock -
	echo 'zensical==0.0.73' | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate -o tests/docs/site.lock -
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    -o tests/fuzz/requirements.lock tests/fuzz/requirements.in
	# crcmod comes as sources only, in C; `esphome config` does without it.
	echo esphome | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-package crcmod -o tests/scenarios/clients/esphome/requirements.lock -
	echo uv | $(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    -o tests/resolver.lock -

clean:  ## removes what was built here
	@rm -rf .venv .venv-home .venv-audit .venv-build .venv-profile .venv-site .venv-uv build dist site .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
