# Two commands matter to a newcomer: `make demo` and `make test`. Each installs what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
CARGO := cargo
PROFILE := quick
# Each starts servers of its own: more of them want more memory than a small machine has.
TEST_WORKERS := 2
SEED := 11
FUZZ := parse paths decompress rows
FUZZ_SECONDS := 600
FUZZ_CORPUS := rust/fuzz/corpus
# The sanitizer is not stable yet; whatever compiler is here has it.
CARGO_FUZZ = RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/fuzz .tools/bin/cargo-fuzz fuzz
FUZZ_DIR := --fuzz-dir rust/fuzz

# Where it is set, every process compiles all that it imports, which is half of a server's start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check chaos proofs fuzz fuzz-corpus bench build develop stubs notebook lock \
        test-rust test-python test-fuzz clean start-infra

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.installed: requirements/dev.txt
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements/dev.txt
	touch $@

develop: $(VENV)/.installed ## build the extension in place
	$(VENV)/bin/maturin develop --quiet --uv --profile $(PROFILE)

demo: develop ## start a server on embedded stores, send it real traffic, print the report
	$(VENV)/bin/unmogrowp demo

test: test-rust test-python test-fuzz ## every test

test-rust:
	$(CARGO) test --locked --profile $(PROFILE) --quiet

test-python: develop
	$(PY) -m pytest --quiet --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-fuzz: ## a quarter of a minute of each fuzz target
	$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=15

check: develop ## formatting, lints, types, stubs, layers, tidiness
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path rust/fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets --profile $(PROFILE) --quiet -- -D warnings
	$(VENV)/bin/ruff check --quiet
	$(VENV)/bin/ruff format --check --quiet
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m pytest --quiet tests/test_tidy.py
	$(PY) rust/python/stubs.py --check

chaos: develop ## every fault at full size, and docs/durability.md (about 10 minutes)
	PYTHONPATH=tests $(PY) -m chaos --seed $(SEED)

proofs: ## 100,000 schedules of the spool; the parser beside serde_json on 12 million inputs
	SPOOL_SEEDS=0..100000 $(CARGO) test --locked -p unmogrowp-spool --profile $(PROFILE) --quiet \
		whatever_breaks
	PROOFS=150 $(CARGO) test --locked -p unmogrowp-core --profile $(PROFILE) --quiet \
		--test parse_oracle
	FUZZED_LINES=10000000 $(CARGO) test --locked -p unmogrowp-core --profile $(PROFILE) --quiet \
		--test fuzzed_lines

.tools/bin/cargo-fuzz:
	$(CARGO) install cargo-fuzz --version 0.13.2 --locked --quiet --root .tools

$(FUZZ_CORPUS)/.unpacked: $(FUZZ_CORPUS).tar.xz
	mkdir -p $(FUZZ_CORPUS)
	tar --extract --xz --file $< --directory $(FUZZ_CORPUS)
	touch $@

fuzz: .tools/bin/cargo-fuzz $(FUZZ_CORPUS)/.unpacked ## ten minutes of each fuzz target, from what was found before
	mkdir -p target
	$(CARGO_FUZZ) build $(FUZZ_DIR) > target/fuzz.log 2>&1 || { cat target/fuzz.log; exit 1; }
	$(MAKE) --no-print-directory --jobs=2 $(FUZZ:%=fuzz/%)

fuzz/%:
	ASAN_OPTIONS=malloc_context_size=2:quarantine_size_mb=4 $(CARGO_FUZZ) run $(FUZZ_DIR) \
		$* -- -dict=rust/fuzz/json.dict -max_len=4096 -timeout=20 \
		-max_total_time=$(FUZZ_SECONDS) > target/fuzz-$*.log 2>&1 || \
		{ tail -n 50 target/fuzz-$*.log; exit 1; }
	@echo "$*: $$(grep -a '^Done' target/fuzz-$*.log)"

fuzz-corpus: fuzz ## keep of what the fuzz targets found what reaches the most with the least
	for target in $(FUZZ); do $(CARGO_FUZZ) cmin $(FUZZ_DIR) $$target || exit 1; done
	tar --create --xz --file $(FUZZ_CORPUS).tar.xz --directory $(FUZZ_CORPUS) \
		--sort=name --mtime=@0 --owner=0 --group=0 $(FUZZ)

bench: build ## every gate, on the wheel that ships: claim, measured, margin
	$(VENV)/bin/uv pip install --quiet --python $(PY) --reinstall --no-deps --no-index \
		dist/unmogrowp-*-manylinux*.whl
	$(PY) -m pytest benches --quiet --benchmark-disable-gc -p no:cacheprovider -s

build: $(VENV)/.installed ## the portable wheel, into dist/
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/maturin build --release --zig \
		--compatibility manylinux2014 --out dist

stubs: $(VENV)/.installed ## regenerate python/unmogrowp/_core.pyi
	$(PY) rust/python/stubs.py

notebook: develop ## run docs/attribution.ipynb and keep what it says
	$(VENV)/bin/jupyter execute --inplace docs/attribution.ipynb

lock: $(VENV)/.installed ## pin what requirements/dev.in asks for
	$(VENV)/bin/uv pip compile requirements/dev.in -o requirements/dev.txt \
		--python-version 3.11 --generate-hashes --no-header --quiet --upgrade

start-infra: ## the server in a container
	docker compose -f docker/compose.yaml up --detach

clean:
	rm -rf target dist .venv
