# Penstock on CPUs: docker build -t penstock . ; docs/deploy.md says how to run it.
FROM python:3.12.12-slim-bookworm AS build

# What the image can serve: `cpu` is ONNX and Python models; `cpu,torch` adds model.pt2.
ARG EXTRAS=cpu
# For torch without CUDA: PyTorch's own index of builds for CPUs.
ARG PIP_EXTRA_INDEX_URL

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH

# The dependencies alone first: this layer stays while only the code changes. Their versions are
# those of pyproject.toml.
COPY pyproject.toml README.md LICENSE ./
# hadolint ignore=DL3013
RUN pip install ".[$EXTRAS]"
COPY serve serve
COPY optimize optimize
COPY benchmarks benchmarks
RUN pip install --no-deps --force-reinstall .


FROM python:3.12.12-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home penstock && mkdir /models
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

USER 10001
VOLUME /models
# HTTP, gRPC, and the admin port, which is on the container's loopback unless --admin-host is given.
EXPOSE 8000 8001 8002
# Alive, not ready: a server that loads models or drains must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('PENSTOCK_SERVE_ADMIN_PORT', '8002') + '/healthz', timeout=2)"]
# Accepted requests are answered first; `docker stop --timeout` must be above --drain-timeout.
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock", "serve", "/models"]
