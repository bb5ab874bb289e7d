# syntax=docker/dockerfile:1
# vsrpp in a container, for CPUs and for NVIDIA GPUs:
#
#   docker build --target cpu -t vsrpp:cpu .
#   docker build --target cuda -t vsrpp:cuda .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" -v vsrpp-cache:/cache vsrpp:cpu upscale in.mp4 out.mp4
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" -v vsrpp-cache:/cache vsrpp:cuda upscale in.mp4 out.mp4

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY weights ./weights
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS base
LABEL org.opencontainers.image.title="vsrpp" \
      org.opencontainers.image.description="Video super-resolution with BasicVSR++ from the command line" \
      org.opencontainers.image.source="https://github.com/vsrpp/vsrpp" \
      org.opencontainers.image.documentation="https://github.com/vsrpp/vsrpp#readme" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.2.0"
# Any user may be named with --user: what is written goes to /work and /cache, which everybody may write;
# HOME has to be such a place, too, for libraries that keep files there.
RUN useradd --no-create-home --uid 1000 vsrpp \
    && mkdir -p /work /cache \
    && chown vsrpp:vsrpp /work \
    && chmod 1777 /cache
ENV HOME=/cache/home \
    XDG_CACHE_HOME=/cache \
    HF_HOME=/cache/huggingface \
    NUMBA_CACHE_DIR=/cache/numba \
    PYTHONUNBUFFERED=1

FROM base AS cpu-packages
# PyTorch's own index holds builds without CUDA: hundreds of megabytes instead of gigabytes.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu /wheels/*.whl

FROM cpu-packages AS cpu
# The account made above, as a number, so that a cluster can tell that it is not root.
USER 1000
WORKDIR /work
VOLUME /cache
ENTRYPOINT ["vsrpp"]
CMD ["--help"]

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
# PyPI's build of PyTorch brings CUDA along.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl
# The account made above, as a number, so that a cluster can tell that it is not root.
USER 1000
WORKDIR /work
VOLUME /cache
ENTRYPOINT ["vsrpp"]
CMD ["--help"]
