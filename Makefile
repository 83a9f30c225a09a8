# Everything a newcomer or CI runs; `make` alone lists it. The virtual environment is made on first use.

PYTHON ?= python3
VENV ?= .venv
PICTURE ?=
MODEL ?=
WORKERS ?= 2

BIN := $(VENV)/bin
ROOMS := ltsh_deploy train export cuda_kernels cli
DEMO_OUT := out/demo
TENSORRT_BINDINGS := 10.16.1.11 11.4.0.106

# In recipes these are read from the environment, where an apostrophe in a path does no harm.
export PICTURE MODEL CURDIR

.PHONY: help model demo test check lint types format clean again own
.DEFAULT_GOAL := help

help:
	@echo 'make demo [PICTURE=file] [MODEL=file.onnx]   find the people in a picture and draw them'
	@echo 'make test                                    every test that needs no GPU'
	@echo 'make check                                   linter, formatting, types, tests: what CI runs'
	@echo 'make format                                  format the code and repair what the linter can'
	@echo 'make clean                                   remove what these made, the virtual environment too'
	@echo 'PYTHON=python3.12 picks the interpreter that makes the virtual environment, VENV=folder its place.'

# The stamp holds the folder it was made for: an environment that was moved or copied does not work, and is made anew.
ifneq ($(shell cat '$(VENV)/.created' 2>/dev/null),$(CURDIR))
$(VENV)/.created: again
endif

# Through a link, another checkout's environment would be emptied.
own:
	@[ ! -L '$(VENV:%/=%)' ] || { echo '$(VENV) is a symbolic link, and what it points to would be emptied.' \
	  'Remove the link, or name another place: make VENV=folder ...' >&2; exit 1; }

$(VENV)/.created: | own
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo 'ltsh-deploy needs Python 3.10 or later: make PYTHON=/path/to/python3 ...' >&2; exit 1; }
	@if [ -e $@ ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then $(PYTHON) -m venv --clear '$(VENV)'; fi || { \
	  echo 'No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@printf '%s\n' "$$CURDIR" >$@

# The model is looked for first: where it is not there, nothing needs to be installed.
$(VENV)/.installed-demo: $(VENV)/.created setup.cfg setup.py pyproject.toml | model
	$(BIN)/python -m pip install --quiet --editable '.[cpu]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created setup.cfg setup.py pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[cpu,train,synth,export,serve,tensorrt-rtx,dev]' --constraint constraints.txt
	@touch $@ $(VENV)/.installed-demo

# The install builds the decoder too; this builds it again when its sources change.
$(VENV)/.built: $(VENV)/.installed-dev $(wildcard cuda_kernels/*.cpp cuda_kernels/*.h cuda_kernels/sources.py)
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

# Python bindings of TensorRT 10 and 11, without their libraries, each in a folder of its own, for they exclude each other:
# the tests look whether they have what is used of them.
$(VENV)/.bindings: $(VENV)/.installed-dev
	@for version in $(TENSORRT_BINDINGS); do \
	  $(BIN)/python -m pip install --quiet --no-deps --upgrade --target '$(VENV)'/tensorrt-$$version \
	    tensorrt-cu13-bindings==$$version || exit 1; \
	done
	@touch $@

model:
	@[ -z "$$MODEL" ] || [ -f "$$MODEL" ] || { echo "There is no file $$MODEL: make demo MODEL=file.onnx" >&2; exit 1; }

demo: model $(VENV)/.installed-demo
	@set -e; picture="$$PICTURE"; \
	mkdir -p $(DEMO_OUT)/drawn; \
	if [ -z "$$picture" ]; then \
	  picture=$(DEMO_OUT)/picture.png; \
	  $(BIN)/python -m ltsh_deploy.demo "$$picture"; \
	fi; \
	$(BIN)/python -m ltsh_deploy infer "$$picture" $${MODEL:+--model "$$MODEL"} --draw $(DEMO_OUT)/drawn; \
	echo "The drawn result: $(DEMO_OUT)/drawn/$$(ls -t $(DEMO_OUT)/drawn | head -n 1)"

test: $(VENV)/.built $(VENV)/.bindings
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

# mypy sees the rooms as the one package they install as.
types: $(VENV)/.installed-dev
	@rm -rf build/types && mkdir -p build/types/ltsh_deploy
	@ln -s "$$CURDIR"/ltsh_deploy/* $(patsubst %,"$$CURDIR"/%,$(filter-out ltsh_deploy,$(ROOMS))) build/types/ltsh_deploy/
	@bin="$$(cd $(BIN) && pwd)" && cd build/types && "$$bin"/python -m mypy --config-file "$$CURDIR/pyproject.toml" \
	  --cache-dir "$$CURDIR/.mypy_cache" -p ltsh_deploy

check: lint types test

format: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf build dist $(DEMO_OUT) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f cuda_kernels/*.so
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	@[ -L '$(VENV:%/=%)' ] || test ! -f $(VENV)/.created || rm -rf '$(VENV)'
