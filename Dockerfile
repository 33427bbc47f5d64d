# The server in a container, weights inside, as a user without rights. Two targets:
#
#   docker build --target cpu  -t ufc-serve .
#   docker build --target cuda -t ufc-serve:cuda .
#
# hadolint finds nothing in it; it has not been built yet (docs/serving.md, "In a container").
ARG PYTHON=3.12

# The wheel has the code, the recipes and the bundled weights (setup.py).
FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY LICENSE MANIFEST.in README.md pyproject.toml requirements.txt setup.py ./
COPY configs configs
COPY weights weights
COPY ufc_base ufc_base
COPY vqgan vqgan
COPY estimators estimators
COPY ufc ufc
COPY webui webui
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 10001 ufc
COPY requirements.txt /tmp/requirements.txt
COPY --from=wheel /wheels /wheels
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["ufc", "serve"]
CMD ["--host", "0.0.0.0"]

# On a GPU: the usual build of torch for Linux brings CUDA's libraries; the host has the driver and
# the NVIDIA Container Toolkit.
FROM base AS cuda
ENV UFC_DEVICE=cuda
RUN pip install --constraint /tmp/requirements.txt "$(echo /wheels/*.whl)[serve,gpu]"
USER 10001
WORKDIR /home/ufc

# The default target: torch without CUDA, several gigabytes less.
FROM base AS cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV UFC_DEVICE=cpu
# The version is pinned: it is that of requirements.txt.
# hadolint ignore=DL3013
RUN torch=$(grep '^torch==' /tmp/requirements.txt) && \
    pip install --index-url "$TORCH_INDEX" "$torch" && \
    pip install --constraint /tmp/requirements.txt "$(echo /wheels/*.whl)[serve]"
USER 10001
WORKDIR /home/ufc
