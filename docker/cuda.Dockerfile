# docker build -f docker/cuda.Dockerfile -t qsmengine:cuda .
# docker run --rm --gpus all --network none -v "$PWD/data:/data:ro" -v "$PWD/out:/out" qsmengine:cuda doctor
#
# The host brings the driver; CuPy's [ctk] wheels bring NVRTC, cuFFT and the headers.
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
RUN wheel="$(echo /wheels/*.whl)" \
    && pip install --no-cache-dir "${wheel}[all,cuda12]" "cupy-cuda12x[ctk]" && rm -r /wheels \
    && useradd --create-home qsmengine
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER qsmengine
WORKDIR /out
ENTRYPOINT ["qsmengine"]
