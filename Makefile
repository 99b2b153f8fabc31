# `make run` and `make test` create the environment at first use; nothing else is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# pip compiles one file after the other; this uses all processors, and once for all processes that
# would compile it again where PYTHONDONTWRITEBYTECODE is set.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt
COMPILE := $(BIN)/python -W ignore -m compileall -qq -j 0
# The package as it is installed, for mypy: plugin folders inside.
TYPED  := .mypy_cache/tree/promptbench

SPREAD = -n $$(( ($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )) --dist worksteal
# One process for the tests of each engine, which is started once; nobody else's tests are read.
ENGINES = tests/cluster tests/executors -n 2 --dist loadgroup

# Records beside the accepted ones that `make leaderboard` shows, if the folder is there.
RUNS   ?= runs

.PHONY: run test long lint types check soak versions wheel pretrain leaderboard leaderboard-verify vendor browser slurm engines cluster docs screenshot clean

run: $(READY)
	$(BIN)/promptbench run --method alignednorm --protocol cross_dataset

# One thread a process, and three processes for two cores, since tests wait for browsers, disks and the
# processes that they start; who has none left takes tests from others, the last of theirs first.
test: $(READY)
	$(COMPILE) promptbench methods protocols leaderboard
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD) -m "not cluster and not long" --durations 15

# More cases of what `make test` and `make engines` look at.
long: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD) -m "long and not cluster"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ENGINES) -m "long and cluster"

# The tests on real engines of clusters, each on one that is started on this machine.
engines: $(READY)
	$(COMPILE) promptbench methods protocols leaderboard
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ENGINES) -m "cluster and not long"

lint: types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	rm -rf $(TYPED) && mkdir -p $(TYPED)
	cp -r promptbench/. methods protocols data_cards leaderboard $(TYPED)
	MYPYPATH=$(dir $(TYPED)) $(BIN)/mypy -p promptbench

check: lint test engines

soak: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.soak

# The package with other versions of Python and of what it depends on, each in an environment of its own:
# make versions WHAT="--python 3.13 --dependencies newest --tests tests/methods"
versions: $(READY)
	$(INSTALL) --editable '.[versions]'
	$(BIN)/python -m tests.versions $(WHAT)

wheel: $(READY)
	$(BIN)/python -m build

pretrain: $(READY)
	$(BIN)/python -m promptbench.pretraining.pretrain

leaderboard: leaderboard-verify
	$(BIN)/promptbench leaderboard build $(wildcard $(RUNS)) --out site

leaderboard-verify: $(READY)
	$(BIN)/promptbench leaderboard verify

# The documentation's site, into build/docs: strict, so that a warning or a broken link ends it.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The README's picture of the leaderboard (needs `make browser`).
screenshot: $(READY)
	$(BIN)/python -m docs.making.screenshot

# Fetches the libraries that are bundled with the site, with their licences (needs npm).
vendor: $(READY)
	$(BIN)/python -m promptbench.leaderboard.web.vendor

# Chromium for the site's tests, where apt has one; without it they are skipped.
browser:
	command -v chromium || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium)

# Slurm's daemons, for the tests that start a cluster on this machine; without them they are skipped.
slurm:
	command -v slurmctld || (apt-get update -qq && apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge)

# The grid of the README on that cluster, with its workers killed, preempted and cancelled over and over (as root).
cluster: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.cluster.rounds

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --no-deps torch torchvision
	$(INSTALL) --editable '.[dev,wandb,docs]'
	$(COMPILE) -x 'site-packages/.*/tests?/' $(VENV)/lib || true # a few hold templates, which are not Python
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
