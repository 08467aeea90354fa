# Everything is installed in .venv; the machine needs Python 3.11 with venv, nothing else.
PYTHON ?= python3
BIN := .venv/bin
# tests: a worker for each processor; `make test PARALLEL=` has none
PARALLEL ?= -n auto --dist worksteal
UV := $(or $(shell command -v uv),$(BIN)/uv)

.PHONY: boot test check sabotage tpm2-manual bench kernel real real-guest lock
boot: $(BIN)/.ready
	$(BIN)/python tools/boot.py

test: $(BIN)/.dev
	$(BIN)/pytest -q $(PARALLEL)

check: $(BIN)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q $(PARALLEL) --cov

sabotage: $(BIN)/.dev
	$(BIN)/python tests/sabotage.py $(ONLY)

tpm2-manual: $(BIN)/.dev
	$(BIN)/python tests/suites/tpm2_manual.py $(ONLY)

kernel:
	machines/real/fetch-kernel.sh

real: $(BIN)/.ready
	kernel=$$(machines/real/fetch-kernel.sh) && $(BIN)/pef boot machines/real/p9-real.toml \
	    --set image.flash.partition.BOOTKERNEL.content.file="$$kernel"

real-guest: $(BIN)/.ready
	kernel=$$(machines/real/fetch-kernel.sh) && initramfs=$$(machines/real/fetch-initramfs.sh) && \
	$(BIN)/pef boot machines/real/svm-real.toml --set image.guest.kernel.file="$$kernel" \
	    --set image.guest.initrd.file="$$initramfs"

bench: $(BIN)/.dev
	$(BIN)/python benchmarks/boot.py $(SHORT)
	$(BIN)/python benchmarks/tpm.py $(SHORT)
	$(BIN)/python benchmarks/esm.py $(SHORT)
	$(BIN)/python benchmarks/svm.py $(SHORT)
	$(BIN)/python benchmarks/tpm_model.py $(SHORT)

lock: | $(BIN)/.dev
	$(UV) pip compile -q --universal --generate-hashes --no-header \
	    --upgrade pyproject.toml -o requirements.lock
	$(UV) pip compile -q --universal --generate-hashes --no-header --group dev \
	    -c requirements.lock --upgrade pyproject.toml -o requirements-dev.lock

$(BIN)/.ready: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x "$(UV)" || $(BIN)/python -m pip install -q uv
	$(UV) pip install -q --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(UV) pip install -q --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -m compileall -q images hw firmware tools src/pefstack/__init__.py
	touch $@

$(BIN)/.dev: $(BIN)/.ready requirements-dev.lock
	$(UV) pip install -q --python $(BIN)/python -r requirements-dev.lock
	touch $@
