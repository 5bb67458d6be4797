# make help says what there is. Every target sets up what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
PORT ?= 8000
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FRONT := _build/html/index.html

.DEFAULT_GOAL := help
LOCKS := requirements.lock requirements-torch.lock requirements-cpu.lock
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
.PHONY: help book test oldest newest attack mutants bench notebooks links serve clean lock

help: ## Say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (once; a few minutes) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module does not work; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --require-hashes -r requirements-cpu.lock 2> /dev/null || $(INSTALL) --require-hashes -r requirements-torch.lock  # the small build only where pip is told of a place that has it
	@$(INSTALL) --no-build-isolation -e .
	@touch $@

book: $(READY) ## Execute the chapters and build the site
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter-book build . --config _config.yml --toc book/_toc.yml -W --keep-going
	@echo "Front page: $(CURDIR)/$(FRONT)"

test: $(READY) ## Run every test, and every cell of every chapter
	@PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval -n 2 --dist loadfile

oldest: $(READY) ## Tests and chapters with the oldest versions that pyproject.toml admits (an hour; ARGS=--few: minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=tests $(BIN)/python -m versions oldest --write $(ARGS)

newest: $(READY) ## The same with the newest versions there are (ARGS="--python 3.13" for another Python)
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=tests $(BIN)/python -m versions newest --write $(ARGS)

attack: $(READY) ## Attack files, store and loop for ten minutes each (MINUTES=1, NAMES="..." for less)
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m attacks --minutes $(or $(MINUTES),10) $(NAMES)

bench: $(READY) ## Time the loops side by side on this machine (ten minutes; deepinv too, if it is installed)
	@$(BIN)/python -m dip_book bench

notebooks: $(READY) ## Bring the chapters' text and .ipynb together, executing what changed
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m dip_book.build.pairs $(if $(ALL),--execute)

links: $(READY) ## Ask every other site that the book links to whether the page is still there
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter-book build . --config _config.yml --toc book/_toc.yml --builder linkcheck

serve: book ## Build the site and serve it on http://localhost:8000 (PORT=8001 for another port)
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT))).close()' 2> /dev/null || { echo "Port $(PORT) is taken, by another make serve, say. Try: make serve PORT=8001"; exit 1; }
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean: ## Remove the built site and its cache (.venv stays; `rm -r .venv` removes it)
	@rm -rf _build

lock: $(READY) ## Write the requirements*.lock anew from pyproject.toml (ARGS=--keep: only what is not admitted any more)
	@$(BIN)/python -m dip_book.build.lock $(ARGS)

mutants: $(READY) ## Change the method in two thousand ways, one at a time: does a test notice? (hours; SAMPLE=100 for less)
	@$(BIN)/python -c 'import cosmic_ray' 2> /dev/null || $(BIN)/python -m pip install --quiet -e '.[mutants]'
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m mutants $(if $(SAMPLE),--sample $(SAMPLE)) $(ARGS)
