# make demo: sets everything up and fetches the default model and answers one question.
# make test: sets everything up and runs the linters, the type checker and the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QUESTION ?= Telling my grandmother a comforting lie about her illness

.PHONY: demo test setup setup-dev lint clean

$(VENV)/.runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

setup: $(VENV)/.runtime

setup-dev: $(VENV)/.dev

demo: setup
	$(BIN)/vispa respond "$(QUESTION)"

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests and the commands they run have a thread each: processes that all use all cores slow one another down many times.
test: lint
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n 2

clean:
	rm -rf $(VENV)
