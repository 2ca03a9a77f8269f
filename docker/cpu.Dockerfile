# docker build -f docker/cpu.Dockerfile -t qsmengine:0.1.0-cpu .
#
# docker run --rm --read-only --network none --user "$(id -u):$(id -g)" \
#   -v "$PWD/bids:/data:ro" -v "$PWD/out:/out" -v "$PWD/scratch:/scratch" \
#   qsmengine:0.1.0-cpu /data /out participant
#
# Only /out and /scratch are written to. Other commands: --entrypoint qsmengine ... qsm --help
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
    && pip install --no-cache-dir "${wheel}[all]" cryptography \
    && rm -r /wheels \
    && useradd --uid 1000 --no-create-home --home-dir /scratch qsmengine \
    && mkdir /out /scratch \
    && chmod 1777 /out /scratch
ENV HOME=/scratch \
    TMPDIR=/scratch \
    XDG_CACHE_HOME=/scratch \
    MPLCONFIGDIR=/scratch/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    QSMENGINE_CONTAINER_TYPE=docker \
    QSMENGINE_CONTAINER_TAG=qsmengine:0.1.0-cpu
USER 1000
WORKDIR /scratch
ENTRYPOINT ["qsmengine-bids"]
