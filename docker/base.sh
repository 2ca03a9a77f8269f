#!/usr/bin/env bash
# A base image of Debian 12 with its Python 3.11, for machines that reach Debian's packages but no image registry:
# docker/base.sh debian-python:bookworm. Needs root, debootstrap and buildah.
set -euo pipefail
image="${1:?usage: docker/base.sh IMAGE}"
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root" > /dev/null
chroot "$root" python3 -m venv /opt/python
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb
container="$(buildah from scratch)"
buildah add --quiet "$container" "$root" / > /dev/null
buildah config --env PATH=/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet --rm "$container" "$image" > /dev/null
