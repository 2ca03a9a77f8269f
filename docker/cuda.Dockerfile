# docker build -f docker/cuda.Dockerfile -t qsmengine:0.1.0-cuda .
# docker/bake.sh qsmengine:0.1.0-cuda    # on a machine with a GPU: compiles the kernels into the image
#
# docker run --rm --gpus all --read-only --network none --user "$(id -u):$(id -g)" \
#   -v "$PWD/bids:/data:ro" -v "$PWD/out:/out" -v "$PWD/scratch:/scratch" \
#   qsmengine:0.1.0-cuda /data /out participant
#
# The host brings the driver; the extra cuda12 brings NVRTC, cuFFT and the headers. Only /out and /scratch are
# written to; kernels that are not baked into the image are compiled once into /scratch/cupy.
ARG BASE=python:3.12-slim
# hadolint ignore=DL3006
FROM ${BASE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY kernels kernels
COPY qsmengine qsmengine
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# hadolint ignore=DL3006
FROM ${BASE}
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
LABEL org.nrg.commands="[{\"name\":\"qsmengine\",\"label\":\"qsmengine\",\"description\":\"Susceptibility, relaxation, diffusion and perfusion maps of a session or a project\",\"version\":\"0.1.0\",\"schema-version\":\"1.0\",\"type\":\"docker\",\"image\":\"qsmengine:0.1.0-cuda\",\"command-line\":\"qsmengine-bids /input /output --work-dir /work #ANALYSIS_LEVEL# #STEPS# #LUT# #ATLAS# #ECHO_TIMES# #FIELD_STRENGTH# #SET# #PRESET# #NPROCS# #OMP_NTHREADS# #MEM# #DEVICE# #NO_RESUME# #FORCE# #STOP_ON_FIRST_CRASH# #VERBOSE# #LOG_JSON#\",\"override-entrypoint\":true,\"reserve-memory\":4096,\"mounts\":[{\"name\":\"in\",\"writable\":false,\"path\":\"/input\"},{\"name\":\"out\",\"writable\":true,\"path\":\"/output\"},{\"name\":\"work\",\"writable\":true,\"path\":\"/work\"}],\"inputs\":[{\"name\":\"analysis_level\",\"description\":\"levels of the analysis\",\"type\":\"string\",\"required\":true,\"default-value\":\"participant\",\"replacement-key\":\"#ANALYSIS_LEVEL#\"},{\"name\":\"steps\",\"label\":\"steps\",\"description\":\"steps required of every session; several with spaces between them\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#STEPS#\",\"command-line-flag\":\"--steps\",\"command-line-separator\":\" \"},{\"name\":\"lut\",\"label\":\"lut\",\"description\":\"lookup table for segmentations without one: a built-in name or a file\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#LUT#\",\"command-line-flag\":\"--lut\",\"command-line-separator\":\" \"},{\"name\":\"atlas\",\"label\":\"atlas\",\"description\":\"nuclei of these atlases on the susceptibility map; several with spaces between them\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#ATLAS#\",\"command-line-flag\":\"--atlas\",\"command-line-separator\":\" \"},{\"name\":\"echo_times\",\"label\":\"echo times\",\"description\":\"echo times of every series [s]; default: from the sidecars; several with spaces between them\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#ECHO_TIMES#\",\"command-line-flag\":\"--echo-times\",\"command-line-separator\":\" \"},{\"name\":\"field_strength\",\"label\":\"field strength\",\"description\":\"field strength of every series [T]; default: from the sidecars\",\"type\":\"number\",\"required\":false,\"replacement-key\":\"#FIELD_STRENGTH#\",\"command-line-flag\":\"--field-strength\",\"command-line-separator\":\" \"},{\"name\":\"set\",\"label\":\"set\",\"description\":\"settings, such as inversion.lambda=2e-4; several with spaces between them\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#SET#\",\"command-line-flag\":\"--set\",\"command-line-separator\":\" \"},{\"name\":\"preset\",\"label\":\"preset\",\"description\":\"bundled configuration to start from\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#PRESET#\",\"command-line-flag\":\"--preset\",\"command-line-separator\":\" \",\"default-value\":\"accurate\"},{\"name\":\"nprocs\",\"label\":\"nprocs\",\"description\":\"total number of CPU cores; 0: no worker processes\",\"type\":\"number\",\"required\":false,\"replacement-key\":\"#NPROCS#\",\"command-line-flag\":\"--nprocs\",\"command-line-separator\":\" \"},{\"name\":\"omp_nthreads\",\"label\":\"omp nthreads\",\"description\":\"CPU cores per worker\",\"type\":\"number\",\"required\":false,\"replacement-key\":\"#OMP_NTHREADS#\",\"command-line-flag\":\"--omp-nthreads\",\"command-line-separator\":\" \"},{\"name\":\"mem\",\"label\":\"mem\",\"description\":\"total memory of all workers: a number of MB, or a size such as 16G\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#MEM#\",\"command-line-flag\":\"--mem\",\"command-line-separator\":\" \"},{\"name\":\"device\",\"label\":\"device\",\"description\":\"compute device: auto, cpu, cuda or cuda:N\",\"type\":\"string\",\"required\":false,\"replacement-key\":\"#DEVICE#\",\"command-line-flag\":\"--device\",\"command-line-separator\":\" \",\"default-value\":\"auto\"},{\"name\":\"no_resume\",\"label\":\"no resume\",\"description\":\"run every step again\",\"type\":\"boolean\",\"required\":false,\"replacement-key\":\"#NO_RESUME#\",\"default-value\":\"false\",\"true-value\":\"--no-resume\",\"false-value\":\"\"},{\"name\":\"force\",\"label\":\"force\",\"description\":\"run every step again and replace results of other versions\",\"type\":\"boolean\",\"required\":false,\"replacement-key\":\"#FORCE#\",\"default-value\":\"false\",\"true-value\":\"--force\",\"false-value\":\"\"},{\"name\":\"stop_on_first_crash\",\"label\":\"stop on first crash\",\"description\":\"start no further session after a failure\",\"type\":\"boolean\",\"required\":false,\"replacement-key\":\"#STOP_ON_FIRST_CRASH#\",\"default-value\":\"false\",\"true-value\":\"--stop-on-first-crash\",\"false-value\":\"\"},{\"name\":\"verbose\",\"label\":\"verbose\",\"description\":\"print more detail, and tracebacks of errors\",\"type\":\"boolean\",\"required\":false,\"replacement-key\":\"#VERBOSE#\",\"default-value\":\"false\",\"true-value\":\"--verbose\",\"false-value\":\"\"},{\"name\":\"log_json\",\"label\":\"log json\",\"description\":\"write messages as JSON lines to stderr\",\"type\":\"boolean\",\"required\":false,\"replacement-key\":\"#LOG_JSON#\",\"default-value\":\"false\",\"true-value\":\"--log-json\",\"false-value\":\"\"}],\"outputs\":[{\"name\":\"derivatives\",\"description\":\"BIDS derivatives, pages and ledger\",\"required\":true,\"mount\":\"out\"}],\"xnat\":[{\"name\":\"qsmengine-session\",\"label\":\"qsmengine of a session\",\"description\":\"Reconstruct a session\",\"contexts\":[\"xnat:imageSessionData\"],\"external-inputs\":[{\"name\":\"session\",\"description\":\"The session\",\"type\":\"Session\",\"required\":true,\"provides-files-for-command-mount\":\"in\",\"via-setup-command\":\"xnat/xnat2bids-setup:1.0:xnat2bids\",\"load-children\":false},{\"name\":\"levels\",\"description\":\"levels of the analysis\",\"type\":\"string\",\"required\":true,\"default-value\":\"participant\",\"user-settable\":false,\"provides-value-for-command-input\":\"analysis_level\"}],\"derived-inputs\":[],\"output-handlers\":[{\"name\":\"derivatives\",\"accepts-command-output\":\"derivatives\",\"as-a-child-of\":\"session\",\"type\":\"Resource\",\"label\":\"QSMENGINE\"}]},{\"name\":\"qsmengine-project\",\"label\":\"qsmengine of a project\",\"description\":\"Reconstruct a project\",\"contexts\":[\"xnat:projectData\"],\"external-inputs\":[{\"name\":\"project\",\"description\":\"The project\",\"type\":\"Project\",\"required\":true,\"provides-files-for-command-mount\":\"in\",\"via-setup-command\":\"xnat/xnat2bids-setup:1.0:xnat2bids\",\"load-children\":false},{\"name\":\"levels\",\"description\":\"levels of the analysis\",\"type\":\"string\",\"required\":true,\"default-value\":\"participant group\",\"user-settable\":false,\"provides-value-for-command-input\":\"analysis_level\"}],\"derived-inputs\":[],\"output-handlers\":[{\"name\":\"derivatives\",\"accepts-command-output\":\"derivatives\",\"as-a-child-of\":\"project\",\"type\":\"Resource\",\"label\":\"QSMENGINE\"}]}],\"runtime\":\"nvidia\"}]"
USER 1000
WORKDIR /scratch
ENTRYPOINT ["qsmengine-bids"]
