#!/usr/bin/env bash
# Builds an image with docker, podman or buildah, whichever is found first: docker/image.sh cpu|cuda [IMAGE]
#
# BASE     base image; debian makes one with docker/base.sh, where no image registry is reached
# CERTS    folder of certificate authorities that the build shall trust, on networks with their own
# BUILDER  docker, podman or buildah
set -euo pipefail
cd "$(dirname "$0")/.."
kind="${1:?usage: docker/image.sh cpu|cuda [IMAGE]}"
version="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' qsmengine/version.py)"
image="${2:-qsmengine:$version-$kind}"
base="${BASE:-python:3.12-slim}"
builder="${BUILDER:-}"
for candidate in docker podman buildah; do  # docker's client without its daemon does not count
  if [ -z "$builder" ] && "$candidate" info > /dev/null 2>&1; then builder="$candidate"; fi
done
[ -n "$builder" ] || { echo "No docker, podman or buildah found that works: install one of them, or start docker's daemon" >&2; exit 4; }

SECONDS=0
if [ "$base" = debian ]; then
  base="localhost/debian-python:bookworm"
  docker/base.sh "$base"
fi
options=(--file "docker/$kind.Dockerfile" --build-arg "BASE=$base" --tag "$image")
if [ -n "${CERTS:-}" ]; then options+=(--volume "$CERTS:/etc/ssl/certs:ro"); fi
case "$builder" in
  docker) docker build "${options[@]}" . ;;
  podman) podman build --format docker "${options[@]}" . ;;
  buildah) buildah bud --isolation chroot --format docker --layers "${options[@]}" . ;;
esac
if [ "$builder" = buildah ]; then size="$(buildah images --format '{{.Size}}' "$image")"
else size="$("$builder" image inspect --format '{{.Size}}' "$image" | awk '{printf "%.0f MB", $1 / 1e6}')"; fi
echo "$image: $size, built in $((SECONDS / 60)) min $((SECONDS % 60)) s"
