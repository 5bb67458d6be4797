# make help says what there is. Every target sets up what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
FRONT := _build/html/index.html

.DEFAULT_GOAL := help
.PHONY: help book test attack bench notebooks links serve clean lock mutants

help: ## Say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (once; a few minutes) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module does not work; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

book: $(READY) ## Execute the chapters and build the site
	@PATH="$(BIN):$$PATH" $(BIN)/jupyter-book build . --config _config.yml --toc book/_toc.yml -W --keep-going
	@echo "Front page: $(CURDIR)/$(FRONT)"

test: $(READY) ## Run every test, and every cell of every chapter
	@PATH="$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval -n 2 --dist loadfile

attack: $(READY) ## Attack files, store and loop for ten minutes each (MINUTES=1, NAMES="..." for less)
	@PATH="$(BIN):$$PATH" PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m attacks --minutes $(or $(MINUTES),10) $(NAMES)

bench: $(READY) ## Time the loops side by side on this machine (ten minutes; deepinv too, if it is installed)
	@$(BIN)/python -m dip_book bench

notebooks: $(READY) ## Bring the chapters' text and .ipynb together, executing what changed
	@PATH="$(BIN):$$PATH" $(BIN)/python -m dip_book.build.pairs $(if $(ALL),--execute)

links: $(READY) ## Ask every other site that the book links to whether the page is still there
	@PATH="$(BIN):$$PATH" $(BIN)/jupyter-book build . --config _config.yml --toc book/_toc.yml --builder linkcheck

serve: book ## Build the site and serve it on http://localhost:8000
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

clean: ## Remove the built site and its cache (.venv stays; `rm -r .venv` removes it)
	@rm -rf _build

lock: $(READY) ## Write requirements.lock anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(BIN)/pip-compile --quiet --upgrade --upgrade-package torch==2.13.0 --extra book --extra test --strip-extras --allow-unsafe \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	@sed -i.old -e 's/+cpu$$//' -e '/^#/d' -e '/^$$/d' requirements.lock && rm requirements.lock.old  # +cpu: a build's label, which no index has

mutants: $(READY) ## Change the method in two thousand ways, one at a time: does a test notice? (hours; SAMPLE=100 for less)
	@$(BIN)/python -c 'import cosmic_ray' 2> /dev/null || $(BIN)/python -m pip install --quiet -e '.[mutants]'
	@PATH="$(BIN):$$PATH" PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m mutants $(if $(SAMPLE),--sample $(SAMPLE)) $(ARGS)
