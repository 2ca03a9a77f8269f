# docker build -f docker/cpu.Dockerfile -t qsmengine:cpu .
# docker run --rm --network none -v "$PWD/data:/data:ro" -v "$PWD/out:/out" qsmengine:cpu qsm --help
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
RUN wheel="$(echo /wheels/*.whl)" && pip install --no-cache-dir "${wheel}[all]" && rm -r /wheels \
    && useradd --create-home qsmengine
USER qsmengine
WORKDIR /out
ENTRYPOINT ["qsmengine"]
