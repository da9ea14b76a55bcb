# The front door. `make demo` and `make test` are all that a newcomer needs; both install what is missing.
SHELL := /bin/bash
.PHONY: help setup dev build asan demo test lint bench soak mutate clean sim
help:          ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12
setup:         ## Install missing Debian packages
	@scripts/setup
dev:           ## Fast incremental build: build/release/bin/ez
	@scripts/build release
build: setup dev
asan: setup    ## Build with AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/build asan
demo: setup    ## Build, run the main job on this repository, print where to look
	@scripts/demo
test: setup    ## Build and run every test
	@scripts/test
lint: setup    ## Tidy rules, shellcheck, cppcheck
	@scripts/lint
bench: build   ## Benchmarks; docs/PERFORMANCE.md says how to read them
	@scripts/bench
soak: setup    ## Long runs: thread sanitizer, fuzzing, kill -9 rounds
	@scripts/soak
mutate: setup  ## Plant bugs and see that the simulation finds each; about half an hour
	@scripts/mutate
clean:         ## Remove build outputs
	rm -rf build
sim: setup     ## The simulation alone: make sim SEEDS=1000 FIRST=1
	@scripts/build release simulation
	@EZ_SIM_SEEDS=$(or $(SEEDS),1000) EZ_SIM_FIRST=$(or $(FIRST),1) build/release/tests/sim/simulation
