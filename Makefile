# Two commands do everything: `make train` (TASK=Cartpole, ARGS="num_envs=512 ...") and `make play`.
TASK ?= Ant
ARGS ?=
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
DEV := .venv/installed-dev

# Where the ant runs well, some seven minutes on two cores; `manybody train task=Ant` is the full length.
LENGTH_Ant := max_iterations=170
LENGTH := $(LENGTH_$(TASK))

# mjlab works with an older MuJoCo than this package: the two share an environment of their own (benchmarks/mjlab).
MJLAB := .venv-mjlab/installed

.PHONY: train play test test-fast check package format bench bench-mjlab clean

train: $(STAMP)
	$(BIN)/manybody train task=$(TASK) $(LENGTH) $(ARGS)

play: $(STAMP)
	$(BIN)/manybody play video=True $(ARGS)

# One process for a core, each with one thread: the tests of a file stay together.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile

test: $(DEV)
	$(PYTEST) --durations 20

# Unit and contract tests.
test-fast: $(DEV)
	$(PYTEST) -m 'not slow' $(addprefix --ignore tests/,cli compat examples learning media parity system)

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

# What users install: the source archive, the wheel built from it, and an epoch of training in an empty environment.
package: $(DEV)
	rm -rf dist build/package
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv build/package
	build/package/bin/pip install --quiet --disable-pip-version-check torch -c constraints.txt
	build/package/bin/pip install --quiet --disable-pip-version-check dist/*.whl -c constraints.txt
	cd build/package && bin/manybody train task=Cartpole num_envs=64 max_iterations=1 video=False && bin/manybody play games_num=4

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV)
	$(BIN)/python benchmarks/physics.py Ant Humanoid
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/against_rl_games.py

bench-mjlab: $(MJLAB)
	.venv-mjlab/bin/manybody train --file benchmarks/mjlab/cartpole.yaml video=False $(ARGS)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[media]' -c constraints.txt
	touch $(STAMP)

$(DEV): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[media,dev]' -c constraints.txt
	touch $(DEV)

$(MJLAB): benchmarks/mjlab/requirements.txt
	$(PYTHON) -m venv .venv-mjlab
	.venv-mjlab/bin/pip install --quiet --disable-pip-version-check -r benchmarks/mjlab/requirements.txt
	.venv-mjlab/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(MJLAB)

clean:
	rm -rf .venv .venv-mjlab build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
