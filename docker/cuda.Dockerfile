# docker build -f docker/cuda.Dockerfile -t qsmengine:0.1.0-cuda .
# docker/bake.sh qsmengine:0.1.0-cuda    # on a machine with a GPU: compiles the kernels into the image
#
# docker run --rm --gpus all --read-only --network none --user "$(id -u):$(id -g)" \
#   -v "$PWD/bids:/data:ro" -v "$PWD/out:/out" -v "$PWD/scratch:/scratch" \
#   qsmengine:0.1.0-cuda /data /out participant
#
# The host brings the driver; the extra cuda12 brings NVRTC, cuFFT and the headers. Only /out and /scratch are
# written to; kernels that are not baked into the image are compiled once into /scratch/cupy.
FROM python:3.12-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY kernels kernels
COPY qsmengine qsmengine
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
# hadolint ignore=DL3013
RUN wheel="$(echo /wheels/*.whl)" \
    && pip install --no-cache-dir "${wheel}[all,cuda12]" cryptography \
    && rm -r /wheels \
    && useradd --uid 1000 --no-create-home --home-dir /scratch qsmengine \
    && mkdir -p /out /scratch /opt/qsmengine/cupy \
    && chmod 1777 /out /scratch /opt/qsmengine/cupy
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HOME=/scratch \
    TMPDIR=/scratch \
    XDG_CACHE_HOME=/scratch \
    MPLCONFIGDIR=/scratch/matplotlib \
    CUPY_CACHE_DIR=/scratch/cupy \
    QSMENGINE_KERNEL_CACHE=/opt/qsmengine/cupy \
    PYTHONDONTWRITEBYTECODE=1 \
    QSMENGINE_CONTAINER_TYPE=docker \
    QSMENGINE_CONTAINER_TAG=qsmengine:0.1.0-cuda
USER 1000
WORKDIR /scratch
ENTRYPOINT ["qsmengine-bids"]
