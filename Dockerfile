# Image for `python -m sweeps launch ... --engine gke --option image=REGISTRY/scaling:TAG`, and for any machine:
#   docker build --tag REGISTRY/scaling:TAG .                                # for TPUs
#   docker build --build-arg EXTRA=cuda --tag REGISTRY/scaling:TAG-cuda .    # for GPUs
# The engine gives each pod its command, mounts the store at /store and runs it as root, which TPU devices need.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY scaling scaling
COPY sweeps sweeps
COPY analysis analysis
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
# Sandboxes of `evaluate --run-code`; the container must be allowed to make user namespaces.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
ARG EXTRA=tpu
COPY constraints.txt /wheels/
COPY --from=wheel /wheels /wheels
RUN wheel="$(echo /wheels/scaling-*.whl)" \
    && python -m pip install --no-cache-dir --constraint /wheels/constraints.txt "${wheel}[${EXTRA}]" \
    && rm -r /wheels
ENV PYTHONUNBUFFERED=1
WORKDIR /work
CMD ["python", "-m", "scaling", "--help"]
