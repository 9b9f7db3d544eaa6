# The table of contents: what can be made here. `make` alone lists it.

PROFILE ?= quick
PYTHON  ?= python3
BIN     := .venv/bin
# A person's pip configuration says where packages come from; where they go, and in which versions, is said here.
PIP     := env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_PYTHON -u PIP_REQUIREMENT -u PIP_NO_DEPS -u PIP_DRY_RUN \
  PIP_USER=0 PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What opens the page to others is typed with the command; an environment can have these names for other things.
typed    = $(if $(filter command line,$(origin $(1))),$($(1)))

# Git's filter for notebooks (.gitattributes): what is committed has no outputs, and nothing that a JupyterLab adds.
ADDED   := $(addprefix metadata.language_info.,codemirror_mode file_extension mimetype nbconvert_exporter pygments_lexer version) \
  cell.metadata.execution cell.metadata.jupyter
TOOL     = $(if $(filter /%,$(BIN)),,$(CURDIR)/)$(BIN)/nbstripout
CLEAN    = if [ -x "$(TOOL)" ]; then "$(TOOL)" --keep-id --extra-keys "$(ADDED)"; else cat; fi

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

report: .venv/ready  ## execute the notebooks of PROFILE (quick) and write outputs/PROFILE/report.{html,pdf}
	$(BIN)/writeup report --profile "$(PROFILE)" $(if $(CODE),--code)

publish: .venv/ready  ## keep the report of PROFILE in the repository and rewrite the README's generated block
	$(BIN)/writeup publish --profile "$(PROFILE)"

reproduce: PROFILE = writeup
reproduce: .venv/ready  ## train everything behind the published report afresh, into outputs/reproduced (hours on a CPU)
	WRITEUP_OUTPUTS="$$PWD/outputs/reproduced" $(BIN)/writeup report --profile "$(PROFILE)" -p runs=train

verify: PROFILE = writeup
verify: .venv/ready  ## train a kept run, picked at random, again and compare
	$(BIN)/writeup verify --profile "$(PROFILE)"

test: .venv/ready lint  ## lint, run every test, execute every notebook on the shipped sample
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: .venv/ready  ## the unit tests alone, under a minute
	$(BIN)/python -m pytest --numprocesses 2 tests/unit

test-faults: .venv/ready  ## 11,000 mutated files, 300 corruptions, every crash point, 75 kills: ten minutes, with counts
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m faults -rP tests/faults

snapshots: .venv/ready  ## renew the stored sentences that tests compare with
	$(BIN)/python -m pytest tests/unit/test_snapshots.py --snapshot-update

test-scale: .venv/ready  ## a thousand tiny runs through the local cluster: time per run, memory
	$(BIN)/python -m pytest -m slow -s tests/cluster/test_scale.py

test-slurm: .venv/ready  ## bring up a SLURM of one node (Debian's packages, as root) and run the smoke sweep on it
	$(PIP) dask-jobqueue
	tests/slurm.sh "$$PWD/$(BIN)"

lint: .venv/ready  ## check style, format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

benchmark: .venv/ready .venv/peers  ## measure speed beside the field's loops (an hour): outputs/benchmark/PROFILE/report.{html,pdf}
	$(BIN)/python -m benchmarks run --profile "$(PROFILE)"

benchmark-check: .venv/ready .venv/peers  ## measure again the ratios that matter, in minutes; fails under a bar
	$(BIN)/python -m benchmarks check

test-browser: .venv/browser  ## drive JupyterLab, the page without code and the HTML report in headless Chromium
	$(BIN)/python -m pytest -m browser tests/browser

app: .venv/ready  ## serve notebooks/explore.ipynb as a page without code; HOST=0.0.0.0 and PORT=8866 for a class
	$(BIN)/python explore/app.py $(if $(call typed,HOST),--Voila.ip="$(HOST)") $(if $(call typed,PORT),--port="$(PORT)") notebooks/explore.ipynb

lab: .venv/ready  ## open JupyterLab on notebooks/index.ipynb
	@[ $$(id -u) -ne 0 ] || [ -n "$(call typed,ROOT)" ] || { echo "JupyterLab would run as root, with all of this machine in its \
	reach. Use an account of your own or, in a container that nobody else uses: make lab ROOT=1" >&2; exit 2; }
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/index.ipynb \
	  --FileContentsManager.post_save_hook=longtail_writeup.lab.saved $(if $(call typed,ROOT),--allow-root)

data: .venv/ready  ## get CIFAR-10 into the local cache
	$(BIN)/writeup fetch

setup: .venv/ready  ## make the virtual environment only

# Made once, and again when the dependencies change.
.venv/ready: pyproject.toml packages/nbconvert-typst/pyproject.toml constraints.txt
	"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(not (3, 11, 2) <= v < (3, 14) and "Python 3.11.2 to 3.13 \
	is needed, not %d.%d.%d; try: make PYTHON=python3.13" % v[:3])'
	"$(PYTHON)" -m venv .venv
	$(PIP) --editable packages/nbconvert-typst --editable '.[dev]'
	@[ ! -e .git ] || git config filter.notebook-source.clean '$(CLEAN)' || true
	@touch $@

# What the benchmark compares with is not needed for anything else.
.venv/peers: .venv/ready
	$(PIP) --editable '.[benchmark]'
	@touch $@

# Playwright, and a browser where there is none: Debian's for root, Playwright's own for everybody else.
.venv/browser: .venv/ready
	$(PIP) --editable '.[browser]'
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { [ $$(id -u) = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -qq -y chromium >/dev/null; } || $(BIN)/playwright install chromium
	@touch $@

clean:  ## remove the reports of the shipped profiles and of the benchmark, but not the stored runs
	rm -rf outputs/smoke outputs/quick outputs/writeup outputs/field outputs/benchmark

.PHONY: help report publish reproduce verify test test-fast test-faults snapshots test-scale test-slurm test-browser lint benchmark benchmark-check app lab data setup clean
