# make demo   the notebooks on the embedded world and language model
# make test   the tests that take seconds; a few minutes in all
# make test-all  all tests, several processes and whole roads too, as CI does
# make test-browser  the page that one can touch, and all notebooks in JupyterLab over runs/demo, in a chromium (Debian: apt install chromium)
# make results  the table of docs/results.md on MovieLens-100K from nothing: experiments/ml100k.yaml, some hours; the extra minilm
# make results-gemma  the same with a decoder, Gemma 3 270M: experiments/gemma.yaml, for a GPU
# make lint   ruff, rules and format
# make bench  speed and memory beside peers; BENCH="--data-dir DIR --tokenizer DIR" for real prompts
# make docs   the documentation as pages, in runs/site, with the notebooks of runs/demo; RUN=DIR takes another run
# make chaos  kill tiny runs at random moments and take them up again, 20 kills; CHAOS="--kills 50 --of sweep"
# make strip  take outputs out of the notebooks' sources
# make lock   renew requirements.lock from pyproject.toml
# make clean  remove the environment made here, caches and runs/demo
#
# An active environment (venv or conda) is used as it is; without one, .venv is made. Packages are installed from the
# lock when the lock or pyproject.toml is newer than the last installation.

ifneq ($(VIRTUAL_ENV),)
ENVIRONMENT := $(VIRTUAL_ENV)
else ifneq ($(filter-out base,$(CONDA_DEFAULT_ENV)),)
ENVIRONMENT := $(CONDA_PREFIX)
else
ENVIRONMENT := .venv
endif

PY := $(ENVIRONMENT)/bin/python
STAMP := $(ENVIRONMENT)/.delrec_kit-installed
PROBE := import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
FIND_PYTHON = for p in python3.11 python3.12 python3 python; do \
	$$p -c '$(PROBE)' >/dev/null 2>&1 && { echo $$p; break; }; done
OTHER_CHECKOUT := $(shell [ "$$(cat '$(STAMP)' 2>/dev/null)" = "$(CURDIR)" ] || echo reinstall)

RUN ?= runs/demo
TWO := OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo results results-gemma test test-all test-browser lint bench chaos docs strip lock clean install reinstall

demo: install
	@$(PY) -m delrec_kit run --profile demo --run-dir runs/demo

results: install
	@$(PY) -m pip install --quiet -e ".[minilm]"
	@$(PY) -m delrec_kit sweep experiments/ml100k.yaml --out runs/ml100k $(RESULTS)

results-gemma: install
	@$(PY) -m pip install --quiet -e ".[gemma]"
	@$(PY) -m delrec_kit sweep experiments/gemma.yaml --out runs/gemma $(RESULTS)

test: install
	@$(TWO) -m "not slow"

test-all: install
	@$(TWO)

test-browser: install
	@$(PY) -m pip install --quiet -e ".[browser]"
	@DELREC_KIT_RUN_DIR=$${DELREC_KIT_RUN_DIR:-$(RUN)} $(PY) -m pytest tests/browser

lint: install
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

bench: install
	@$(PY) -m benchmarks $(BENCH)

docs: install
	@[ -d $(RUN)/notebooks ] || $(MAKE) demo
	@$(PY) -m tools.site $(RUN) runs/site

chaos: install
	@$(PY) -m tools.chaos runs/chaos $(CHAOS)

strip: install
	@$(PY) -m nbstripout notebooks/*.ipynb

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock $(OTHER_CHECKOUT) | $(PY)
	@$(PY) -c '$(subst ensurepip,pip,$(PROBE))' 2>/dev/null || { echo "delrec_kit needs Python 3.11 or 3.12 with pip; \
	$(ENVIRONMENT) has $$($(PY) --version 2>&1): activate another environment, or none" >&2; exit 1; }
	@echo "installing into $(ENVIRONMENT), once: some minutes"
	@$(PY) -m pip install --quiet -r requirements.lock -e ".[notebooks,dev,docs]"
	@$(PY) -m pip check
	@printf '%s' "$(CURDIR)" > $@

$(PY):
	@python=$$($(FIND_PYTHON)); \
	[ -n "$$python" ] || { echo "delrec_kit needs Python 3.11 or 3.12 with its venv module (Debian: python3-venv); \
	found $$(python3 --version 2>&1 || echo none)" >&2; exit 1; }; \
	echo "making $(ENVIRONMENT) with $$($$python --version)"; \
	$$python -m venv $(ENVIRONMENT)

reinstall:

# Resolved anew in an environment of its own. Left out: what torch brings by itself on machines with a GPU, and the tag
# of the torch build (+cpu, +cu126).
# soupsieve 4 needs Python 3.11.5, Debian 12 has 3.11.2; torch moves by hand, for its newest builds bring gigabytes
lock: OLD_PYTHONS := soupsieve<4
lock: TORCH := $(shell grep "^torch==" requirements.lock)
lock:
	@python=$$($(FIND_PYTHON)); new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; set -e; \
	$$python -m venv "$$new/env"; \
	"$$new/env/bin/python" -m pip install --quiet -e ".[notebooks,dev,docs]" "$(OLD_PYTHONS)" "$(TORCH)"; \
	{ echo "# Every package, direct and transitive, at the version that is tested. Renewed by: make lock"; \
	"$$new/env/bin/python" -m pip freeze --all --exclude pip --exclude-editable \
		| grep -viE '^(nvidia|cuda|triton)' | sed -E 's/\+[[:alnum:].]+$$//'; } > "$$new/lock"; \
	mv "$$new/lock" requirements.lock; echo "renewed requirements.lock"

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist runs/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
