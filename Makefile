# Everything a developer or a CI job runs. `make setup` leaves .venv/bin/pyollama; every other target
# starts from there. Backends and other options: make setup CMAKE_ARGS=-DPYOLLAMA_CUDA=ON

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
BUILD := build/dev
SITE_PACKAGES = $(shell $(BIN)/python -c \
	'import os, sysconfig; print(os.path.relpath(sysconfig.get_path("platlib")))')
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
CMAKE_ARGS ?=
NATIVE_SOURCES = $(wildcard src/native/*.[ch]pp src/native/*/*.[ch]pp tests/native/*.cpp)

export CMAKE_BUILD_PARALLEL_LEVEL ?= $(JOBS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help setup sync build run test lint format fuzz bench peers registry wheel sdist sanitize clean FORCE

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- setting up -----------------------------------------------------------------------------------

# The newest of the usual names that is new enough and can make virtual environments.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
CXX_FOUND = $(shell command -v $${CXX:-c++} || command -v g++ || command -v clang++)

setup: $(VENV)/.installed build  ## environment, llama.cpp, extension, editable install

$(VENV)/.dependencies: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11 or newer with the venv module" \
		"(on Debian: apt install python3-venv)" >&2; exit 1; }
	@test -n "$(CXX_FOUND)" || { echo "make: needs a C++ compiler" \
		"(on Debian: apt install g++)" >&2; exit 1; }
	@echo "setup: tools and test libraries into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

# Changes when the options do, so that the next build is configured with them.
$(VENV)/.options: FORCE
	@mkdir -p $(VENV)
	@echo '$(CMAKE_ARGS)' | cmp --silent - $@ || echo '$(CMAKE_ARGS)' > $@

$(VENV)/.installed: $(VENV)/.dependencies $(VENV)/.options vendor/llama.cpp/pin.toml
	@echo "setup: llama.cpp, the extension and pyollama itself (the first time takes minutes)"
	@CMAKE_ARGS='$(CMAKE_ARGS)' $(BIN)/python -m pip install --quiet --no-build-isolation \
		--config-settings=build-dir=$(BUILD) --editable '.[convert]'
	@touch $@

sync: $(VENV)/.dependencies
	$(BIN)/python vendor/llama.cpp/sync.py

build: $(VENV)/.installed  ## rebuild the extension after a change in src/native
	@$(BIN)/cmake --build $(BUILD) --target _native llama_chain attention_op
	@$(BIN)/cmake --install $(BUILD) --component pyollama --prefix $(SITE_PACKAGES) >$(BUILD)/install.log

ADDRESS = $${OLLAMA_HOST:-127.0.0.1:11434}
run: setup  ## serve, and let the built-in model answer one prompt
	@! $(BIN)/pyollama ps >/dev/null 2>&1 || { echo "make: something serves on $(ADDRESS) already;" \
		"stop it, or choose another address: OLLAMA_HOST=127.0.0.1:11500 make run" >&2; exit 1; }
	@$(BIN)/pyollama serve 2>build/serve.log & server=$$!; trap 'kill $$(jobs -p); wait' EXIT; \
	until $(BIN)/pyollama ps >/dev/null 2>&1; do \
		kill -0 $$server 2>/dev/null || { cat build/serve.log >&2; exit 1; }; sleep 0.2; done; \
	$(BIN)/pyollama run builtin --verbose "Tell me a story about a small boat."; \
	echo; echo "Serving on http://$(ADDRESS) until Ctrl-C. Next, in another terminal:"; \
	echo "    $(BIN)/pyollama run builtin"; echo; \
	tail -f build/serve.log & wait $$server

# --- checking -------------------------------------------------------------------------------------

lint: setup  ## ruff, mypy, clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(NATIVE_SOURCES)

format:  ## let ruff and clang-format write what lint wants
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .
	$(BIN)/clang-format -i $(NATIVE_SOURCES)

test: lint sync registry  ## everything: lint, unit, native, api and e2e tests
	$(BIN)/python -m pytest

# Debian's package is unpacked and not installed, which would start a registry as a service.
REGISTRY := build/registry/usr/bin/docker-registry
registry: $(if $(shell command -v docker-registry),,$(REGISTRY))  ## Docker's registry, for the tests

$(REGISTRY):
	@rm -rf build/registry && mkdir -p build/registry && cd build/registry && \
		get() { apt-get download docker-registry; } && \
		{ get || { apt-get update && get; }; } >download.log 2>&1 && \
		dpkg-deb --extract docker-registry_*.deb . || \
		echo "make: no docker-registry (on Debian: apt install docker-registry):" \
			"tests that need one are skipped" >&2

# The base interpreter sees the environment's packages through PYTHONPATH, but not its editable
# install, which would put the ordinary extension first.
SANITIZED := build/sanitize
SANITIZED_PATH = $(CURDIR)/$(SANITIZED)/site:$(CURDIR)/$(SITE_PACKAGES)
RUNTIMES = $(foreach name,asan ubsan,$(shell $${CXX:-c++} -print-file-name=lib$(name).so))
sanitize: setup  ## the native tests on an ASan and UBSan build of src/native
	$(BIN)/cmake -S . -B $(SANITIZED) -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" \
		-DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" -DPYOLLAMA_SANITIZE=ON
	$(BIN)/cmake --build $(SANITIZED) --target _native
	rm -rf $(SANITIZED)/site && mkdir $(SANITIZED)/site && cp -R src/pyollama $(SANITIZED)/site/
	$(BIN)/cmake --install $(SANITIZED) --component pyollama --prefix $(SANITIZED)/site
	LD_PRELOAD="$(RUNTIMES)" PYTHONPATH="$(SANITIZED_PATH)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		$$($(BIN)/python -c 'import sys; print(sys._base_executable)') -m pytest tests/native

SECONDS ?= 60
fuzz: setup $(VENV)/.fuzz  ## readers of what others wrote, each for SECONDS=60, two at a time
	$(BIN)/python -m tests.fuzz $(SECONDS)

$(VENV)/.fuzz: $(VENV)/.dependencies
	@$(BIN)/python -m pip install --quiet --group fuzz
	@touch $@

# --- measuring ------------------------------------------------------------------------------------

bench: setup peers $(VENV)/.bench  ## every workload against the peers and the raw limit, with pictures
	$(BIN)/python -m bench

$(VENV)/.bench: $(VENV)/.dependencies
	@$(BIN)/python -m pip install --quiet --group bench
	@touch $@

PEERS := build/peers
PEER_TARGETS := llama-server llama-cli llama-bench llama-batched-bench llama-quantize llama-tokenize
peers: sync  ## llama.cpp's own programs, from the same tree, to compare with
	$(BIN)/cmake -S vendor/llama.cpp/tree -B $(PEERS) -G Ninja -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF \
		-DCMAKE_PROJECT_llama.cpp_INCLUDE="$(CURDIR)/vendor/llama.cpp/fixes.cmake" $(CMAKE_ARGS)
	$(BIN)/cmake --build $(PEERS) --target $(PEER_TARGETS)

# --- shipping -------------------------------------------------------------------------------------

sdist: $(VENV)/.dependencies  ## source distribution, in dist/
	$(BIN)/python -m build --sdist --no-isolation

# What a Linux wheel takes from the system (libgomp) goes into it; a macOS wheel takes nothing.
WHEEL ?= cpu
ifeq ($(shell uname -s),Linux)
repair = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair $(1) --wheel-dir $(2)
else
repair = cp $(1) $(2)
endif
wheel: $(VENV)/.dependencies  ## the wheel of wheels/$(WHEEL).cmake, tried out, in wheelhouse/$(WHEEL)/
	rm -rf dist/$(WHEEL) wheelhouse/$(WHEEL) && mkdir -p wheelhouse/$(WHEEL)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist/$(WHEEL) \
		--config-settings=build-dir=build/wheel-$(WHEEL) \
		--config-settings="cmake.args=-C$(CURDIR)/wheels/$(WHEEL).cmake" .
	$(call repair,dist/$(WHEEL)/*.whl,wheelhouse/$(WHEEL))
	$(BIN)/python wheels/smoke_test.py wheelhouse/$(WHEEL)/*.whl

clean:  ## remove everything that was built, but keep the environment and the llama.cpp tree
	rm -rf build dist wheelhouse $(VENV)/.installed
