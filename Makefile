# `make demo` and `make test` need only Python 3.11 or newer: they make .venv and install everything themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Implementations that tests/parity compares against. Installed alone: two of them ask for torchvision, whose wheels do
# not load beside a CPU build of torch, and the parts compared here do not use it.
PEERS := efficientnet-pytorch==0.7.1 geffnet==1.0.2

.PHONY: demo test test-executorch test-litert lint types imports docs check clean

demo: $(VENV)/.demo
	$(BIN)/effnet demo --output demo-output

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Formats for telephones, each with an environment of its own: their packages do not live beside each other.
test-executorch test-litert: test-%: $(VENV)-%/.ready
	$(VENV)-$*/bin/python -m pytest tests/deploy/test_mobile_formats.py -k $* $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint types imports docs test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "effnet needs Python 3.11 or newer; name it with: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e '.[train,search,postgresql,demo,lite,keras,onnx,openvino,serve,triton,draw]' --group dev
	$(PIP) install --quiet --no-deps $(PEERS)
	@touch $@

$(VENV)-%/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt \
		-e '.[$*,demo]' pytest pytest-timeout hypothesis
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-executorch $(VENV)-litert demo-output site
