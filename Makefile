# Needs Python 3.11 or newer with pip, and make. uv is used where it is installed, else brought into .uv, never into the system.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
# The interpreter that runs this is the one that uv uses: nothing is downloaded in its place.
export UV_PYTHON ?= $(shell $(PYTHON) -c 'import sys; print(sys.executable)' 2>/dev/null)
export UV_PYTHON_DOWNLOADS := never
RUN := $(UV) run --locked

.PHONY: help demo test lint bench clean

help:
	@echo "make demo   find and explain what is in photos, train a Mask R-CNN, report on its errors; all goes to demo/"
	@echo "make test   lint, types and all tests"
	@echo "make lint   lint and types alone"
	@echo "make bench  speed and memory against captum, pytorch-grad-cam, lucent, pycocotools, hotcoco and others"

demo: $(UV)
	@$(RUN) --no-dev pellucid demo --out demo

test: lint
	$(RUN) pytest -q

lint: $(UV)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

bench: $(UV)
	$(RUN) python benchmarks/grad_cam.py
	$(RUN) python benchmarks/guided_backprop.py
	$(RUN) python benchmarks/memory.py
	$(RUN) python benchmarks/synthesis.py
	$(RUN) python benchmarks/search.py
	$(RUN) python benchmarks/excitation.py
	$(RUN) python benchmarks/open_coco.py
	$(RUN) python benchmarks/convert.py
	$(RUN) python benchmarks/scenes.py
	$(RUN) python benchmarks/coco_scores.py
	$(RUN) python benchmarks/coco_scores.py masks
	$(RUN) python benchmarks/bootstrap.py
	$(RUN) python benchmarks/panoptic_quality.py
	$(RUN) python benchmarks/roi_align.py
	$(RUN) python benchmarks/soft_nms.py
	$(RUN) python benchmarks/selective_search.py
	$(RUN) python benchmarks/faster_rcnn.py
	$(RUN) python benchmarks/objects.py
	$(RUN) python benchmarks/serve.py

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Pellucid needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@echo "bringing uv into .uv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv 'uv>=0.5'

clean:
	rm -rf .venv .uv demo explained synthesized found microscope site blocks kernels.png shown.png build dist
