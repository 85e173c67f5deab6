# `make demo` and `make test` need Python 3.11 to 3.13 and make, nothing else.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
LOWEST := .venv-lowest
STORE ?= demo/store
OUT ?= demo/report
WORKERS ?= 2
# The tests start many Python processes, which would each compile the modules.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo docs env lint measure test test-docs test-fast test-lowest test-slow test-long clean

demo: $(VENV)/.core
	$(PY) -m sweeps launch quickstart --store $(STORE)
	$(PY) -m sweeps status quickstart --store $(STORE)
	$(PY) -m analysis report $(STORE) --out $(OUT)
	@echo "report: $(abspath $(OUT))/report.html"

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --config-file docs/mkdocs.yml

env: $(VENV)/.all

# Side by side: mypy has one process and would leave the other processors idle.
test: $(VENV)/.all
	@$(MAKE) --no-print-directory --jobs 2 lint test-fast

lint: $(VENV)/.all
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache

test-fast: $(VENV)/.all
	$(PY) -m pytest -n $(WORKERS) --dist loadfile -m "not slow and not long and not docs"

test-docs: $(VENV)/.all
	$(PY) -m pytest -n $(WORKERS) -m docs

# A part of the fast tests with the lowest versions of the core dependencies that pyproject.toml allows.
test-lowest:
	uv venv --quiet --allow-existing $(LOWEST)
	uv pip install --quiet --python $(LOWEST) --resolution lowest-direct --editable . \
		'pytest>=9' 'pytest-xdist>=3.8' 'hypothesis>=6.150' 'pypdf>=6'
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) -o filterwarnings=default -m "not slow and not long and not docs" \
		tests/golden tests/analysis tests/sweeps/planning $(addprefix tests/scaling/,config models program store training)

test-slow: $(VENV)/.all
	$(PY) -m pytest -m slow

test-long: $(VENV)/.all
	$(PY) -m pytest -m long

# Results of docs/pages/measurements. STORES: folder for what is trained; DATA: folder of published data sets.
measure: $(VENV)/.core
	@$(PY) -m docs.measurements

measure-%: $(VENV)/.all
	$(if $(DATA),SCALING_DATA=$(DATA)) $(PY) -m docs.measurements $* $(if $(STORES),--stores $(STORES))

clean:
	rm -rf $(VENV) $(LOWEST) demo site

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing (some minutes the first time)"
	$(PIP) --editable .
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/.all: $(VENV)/.core
	$(PIP) --editable '.[data,docs,harness,dev]'
	@touch $@
