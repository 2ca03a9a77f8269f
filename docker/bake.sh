#!/usr/bin/env bash
# Compiles every kernel for the GPU of this machine into an image: docker/bake.sh qsmengine:0.1.0-cuda
# The engine's kernels are compiled one by one, CuPy's by small reconstructions, tensor fits and filters.
# Run it on one machine of each architecture in turn; what is there already stays.
set -euo pipefail
image="${1:?usage: docker/bake.sh IMAGE}"
container="$(docker create --gpus all --network none --env CUPY_CACHE_DIR=/opt/qsmengine/cupy \
  --entrypoint qsmengine "$image" doctor --compile)"
trap 'docker rm --force "$container" > /dev/null' EXIT
docker start --attach "$container"
docker commit --change 'ENV CUPY_CACHE_DIR=/scratch/cupy' --change 'ENTRYPOINT ["qsmengine-bids"]' --change 'CMD []' \
  "$container" "$image"
