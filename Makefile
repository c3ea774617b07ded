# Every target does its own set-up. What is up to date is not done again.
SHELL := /bin/bash -euo pipefail
PYTHON ?= python3
BUILD ?= build
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
FUZZ_SECONDS ?= 60
PYTEST_ARGS ?=
export PATH := $(BIN):$(PATH)
CONFIGURE := cmake -G Ninja -S . -DTRACESMITH_BUILD_EXAMPLES=OFF
WITH_PYTHON := -DTRACESMITH_BUILD_PYTHON=ON -DPython_EXECUTABLE=$(BIN)/python
SOURCES := $(shell find csrc tracesmith -type f -not -name '*.pyc' 2>/dev/null) CMakeLists.txt pyproject.toml
# The package as a plain CMake install puts it, for runs under sanitizers and for coverage.
SITE = lib/$$(python -c 'import sys; print("python%d.%d" % sys.version_info[:2])')/site-packages

.PHONY: help demo test bench lint asan tsan fuzz coverage docs clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 16

demo: $(VENV)/installed ## build, install, record the simulated GPU workload and show it
	@mkdir -p $(BUILD)
	tracesmith-cli record --platform simulation -d 2s -f -o $(BUILD)/demo.sbt
	tracesmith-cli info $(BUILD)/demo.sbt
	tracesmith-cli view --limit 10 $(BUILD)/demo.sbt
	tracesmith-cli view --stats $(BUILD)/demo.sbt
	tracesmith-cli view --timeline $(BUILD)/demo.sbt
	tracesmith-cli analyze $(BUILD)/demo.sbt

test: $(VENV)/installed $(BUILD)/c/built ## build everything and run all tests, C units included
	TRACESMITH_BUILD_DIR=$(abspath $(BUILD)/c) pytest $(PYTEST_ARGS)

bench: $(VENV)/installed $(BUILD)/c/built ## run the benchmarks, print the table, write docs/performance.md
	python benchmarks/run.py

lint: $(VENV)/ready ## ruff, and a build in which every warning is an error
	ruff check .
	ruff format --check .
	$(CONFIGURE) -B $(BUILD)/lint -DTRACESMITH_WERROR=ON $(WITH_PYTHON) -DTRACESMITH_BUILD_EXAMPLES=ON
	cmake --build $(BUILD)/lint

asan: $(VENV)/installed ## all tests with the C code under the address and undefined sanitizers
	$(CONFIGURE) -B $(BUILD)/asan -DTRACESMITH_SANITIZE=address,undefined $(WITH_PYTHON)
	cmake --build $(BUILD)/asan
	cmake --install $(BUILD)/asan --prefix $(BUILD)/asan/root --component python > /dev/null
	TRACESMITH_BUILD_DIR=$(abspath $(BUILD)/asan) PYTHONPATH=$(abspath $(BUILD)/asan/root)/$(SITE) \
	  LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" TRACESMITH_INSTRUMENTED=1 \
	  ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc pytest $(PYTEST_ARGS)

tsan: $(VENV)/ready ## ring and session units under the thread sanitizer
	$(CONFIGURE) -B $(BUILD)/tsan -DTRACESMITH_SANITIZE=thread
	cmake --build $(BUILD)/tsan
	cd $(BUILD)/tsan && TSAN_OPTIONS=die_after_fork=0 $(shell setarch -R true 2>/dev/null && echo setarch -R) \
	  ctest --output-on-failure --no-tests=error -R 'ring|spool|session|capture|fork'

fuzz: $(VENV)/ready ## each reader of foreign bytes for its share of FUZZ_SECONDS (60)
	.ci/prepare clang
	CC=$$(ls /usr/bin/clang /usr/bin/clang-[0-9]* 2>/dev/null | head -1) $(CONFIGURE) -B $(BUILD)/fuzz \
	  -DTRACESMITH_BUILD_FUZZERS=ON -DTRACESMITH_BUILD_TESTS=OFF -DTRACESMITH_SANITIZE=address,undefined
	cmake --build $(BUILD)/fuzz
	.ci/fuzz $(BUILD)/fuzz/fuzzers $(FUZZ_SECONDS)

coverage: $(VENV)/installed ## line coverage of csrc/ and tracesmith/; fails below 85 %
	CFLAGS="--coverage -fprofile-update=atomic" LDFLAGS=--coverage $(CONFIGURE) -B $(BUILD)/coverage $(WITH_PYTHON) \
	  -DCMAKE_BUILD_TYPE=Debug
	cmake --build $(BUILD)/coverage
	cmake --install $(BUILD)/coverage --prefix $(BUILD)/coverage/root --component python > /dev/null
	find $(BUILD)/coverage -name '*.gcda' -delete
	rm -f $(BUILD)/coverage/python*
	export TRACESMITH_INSTRUMENTED=1 COVERAGE_FILE=$(abspath $(BUILD)/coverage/python) TRACESMITH_BUILD_DIR=$(abspath $(BUILD)/coverage) \
	  PYTHONPATH=$(abspath $(BUILD)/coverage/root)/$(SITE) && \
	  coverage run $(BIN)/pytest $(PYTEST_ARGS) && coverage combine -q
	status=0; \
	  gcovr --filter csrc/ --gcov-ignore-parse-errors=negative_hits.warn_once_per_file --fail-under-line 85 \
	    $(BUILD)/coverage || status=1; \
	  COVERAGE_FILE=$(BUILD)/coverage/python coverage report --fail-under 85 || status=1; exit $$status

docs: $(VENV)/installed ## check that the documents' links and commands are true
	pytest tests/test_docs.py

clean: ## remove what was built; the virtual environment stays
	rm -rf $(BUILD)

$(VENV)/ready: pyproject.toml .ci/prepare
	PYTHON=$(PYTHON) .ci/prepare venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/ready $(SOURCES)
	pip install -q --no-deps --no-build-isolation --force-reinstall -C build-dir=$(abspath $(BUILD)/package) .
	@touch $@

$(BUILD)/c/built: $(VENV)/ready $(SOURCES) $(wildcard tests/c/* examples/*)
	$(CONFIGURE) -B $(BUILD)/c -DTRACESMITH_BUILD_EXAMPLES=ON
	cmake --build $(BUILD)/c
	@touch $@
