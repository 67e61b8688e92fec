# What a newcomer types. Needs only Python 3.11+ and make; every target sets up .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes; a file's tests stay in one of them and share its servers.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=10
EXTRAS := service,train,diffusers,test
# Named after what was installed: unchanged requirements mean nothing to do, whatever the file dates say.
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
# One BLAS thread per process: slots and actors are the parallelism, and sums keep their order.
export OMP_NUM_THREADS ?= 1
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help demo serve check format test test-slow test-all coverage bench bench-searches bench-solvers bench-guided bench-dlg bench-colour bench-pruning clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP) ## search a 4-call schedule over REST, show it, reuse it in diffusers (MODEL=zoo:digits)
	$(BIN)/python -m demo $(if $(MODEL),--model $(MODEL)) $(ARGS)

serve: $(STAMP) ## start the API and one worker on the embedded defaults
	$(BIN)/python -m api.serve

check: $(STAMP) ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## rewrite formatting and import order
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

test: $(STAMP) ## the quick suite: a sample of every matrix
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(STAMP) ## what the quick suite leaves out
	$(PYTEST) -m slow $(ARGS)

test-all: $(STAMP) ## every test
	$(PYTEST) $(ARGS)

coverage: $(STAMP) ## branch coverage of the quick suite, held against its floors
	$(PYTEST) -m "not slow" --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --include='fewstep/*,space/*,store/*,search/*' --fail-under=95
	$(BIN)/coverage report --include='evaluators/*,api/*' --fail-under=85

bench: $(STAMP) ## share of wall time inside the network, memory of the service
	$(BIN)/python -m benchmarks.network_share --slots 2 --out benchmarks/results/network-share.json
	$(BIN)/python -m benchmarks.service_memory --out benchmarks/results/service-memory.json
	$(BIN)/python -m benchmarks.readme

# Hours less where scores are known: out/benchmark-scores.jsonl keeps them, so it resumes too.
SEARCHES := $(BIN)/python -m benchmarks.searches --model zoo:digits --nfe 4 --report-sets 3 \
	--out benchmarks/results/searches-digits-4.json
bench-searches: $(STAMP) ## searched schedules beside every grid, three seeds, on the report bank
	$(SEARCHES) --solver dpm-solver++-2m --strategies evolution random
	$(SEARCHES) --solver ddim --strategies evolution random --report-images 4096
	$(SEARCHES) --solver dpm-solver++-2m --strategies paper --seeds 0
	$(SEARCHES) --solver ddim --strategies paper --seeds 0 --report-images 4096
	$(BIN)/python -m benchmarks.readme

# Each goes on from what its result file holds; remove the file to measure anew.
bench-solvers: $(STAMP) ## every solver at 4 to 50 calls on named grids, and what a sampler costs
	$(BIN)/python -m benchmarks.solver_overhead --out benchmarks/results/solver-overhead.json
	$(BIN)/python -m benchmarks.solver_quality --teacher \
		--out benchmarks/results/solvers-digits.json
	$(BIN)/python -m benchmarks.readme

bench-guided: $(STAMP) ## split and unsplit solvers under guidance: distance, seconds, judged quality
	$(BIN)/python -m benchmarks.guided --out benchmarks/results/guided-digits.json
	$(BIN)/python -m benchmarks.readme

bench-dlg: $(STAMP) ## six integrators with and without Markov chains, at equal calls
	$(BIN)/python -m benchmarks.dlg --out benchmarks/results/dlg-digits.json
	$(BIN)/python -m benchmarks.readme

COLOUR := --model zoo:cifar10-16
COLOUR_SEARCH := $(BIN)/python -m benchmarks.searches $(COLOUR) --solver dpm-solver++-2m \
	--strategies evolution --seeds 0 --budget 80000 --report-images 512 --report-sets 3
bench-colour: $(STAMP) ## the colour model: named grids, and searches at 4 and 6 calls
	$(BIN)/python -m benchmarks.solver_quality $(COLOUR) --only ddim dpm-solver++-2m \
		--calls 4 6 10 --screen-images 64 --final-images 256 --images 2048 \
		--out benchmarks/results/solvers-cifar10-16.json
	$(BIN)/python -m benchmarks.network_share $(COLOUR) --num-samples 128 --slots 2 \
		--out benchmarks/results/network-share-cifar10-16.json
	$(COLOUR_SEARCH) --nfe 4 --out benchmarks/results/searches-cifar10-16-4.json
	$(COLOUR_SEARCH) --nfe 6 --out benchmarks/results/searches-cifar10-16-6.json
	$(BIN)/python -m benchmarks.readme

# Hours; goes on from what the result files hold. Published evaluations are of 20 images, which would
# fill little of a pass of 256.
COLOUR_FRONTS := $(BIN)/python -m benchmarks.fronts $(COLOUR) --report-images 512 --budget 80000 \
	--paper-fraction 0.0067 --out benchmarks/results/fronts-cifar10-16.json
bench-pruning: $(STAMP) ## pruned networks: seconds, and fronts beside all else that saves
	$(BIN)/python -m benchmarks.pruning_seconds --model zoo:cifar10-16 \
		--out benchmarks/results/pruning-seconds-cifar10-16.json
	$(BIN)/python -m benchmarks.fronts --out benchmarks/results/fronts-digits.json
	$(COLOUR_FRONTS) --micro-batch 32 --methods "layer skips, published"
	$(COLOUR_FRONTS)
	$(BIN)/python -m benchmarks.readme

clean: ## remove .venv, caches and what the demo wrote
	rm -rf $(VENV) out dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv fetches and unpacks in parallel (20 s where pip needs minutes for the CUDA wheels of torch) and
# links from its cache the next time. pip stays as the fallback: it alone reads a local pip.conf.
$(STAMP):
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer \
	is needed, $(PYTHON) is {v[0]}.{v[1]}; name another: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "no virtual environment: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV): about a minute the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]' || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e '.[$(EXTRAS)]'
	@rm -f $(VENV)/.installed-* && touch $@
