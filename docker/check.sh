#!/usr/bin/env bash
# Runs an image on two virtual sessions as it is meant to run: a user other than root, a root file system that cannot be
# written, no network, no capabilities. The results must be valid BIDS: docker/check.sh IMAGE [FOLDER]
#
# ENGINE   docker or podman
# OPTIONS  more options of their command `run`, such as "--runtime runc"
set -euo pipefail
image="${1:?usage: docker/check.sh IMAGE [FOLDER]}"
folder="$(mkdir -p "${2:-build/image-check}" && cd "${2:-build/image-check}" && pwd)"
engine="${ENGINE:-podman}"
if [ -z "${ENGINE:-}" ] && docker info > /dev/null 2>&1; then engine=docker; fi
user=1234
rm -rf "${folder:?}"/{data,out,scratch}
mkdir -p "$folder"/{data,out,scratch}
chmod 1777 "$folder"/{data,out,scratch}

# inside MODE-OF-DATA PROGRAM ARGUMENTS...
inside() {
  local mode="$1" program="$2"
  shift 2
  # shellcheck disable=SC2086  # several options
  "$engine" run ${OPTIONS:-} --rm --read-only --network none --user "$user:$user" --cap-drop all \
    --security-opt no-new-privileges \
    --volume "$folder/data:/data:$mode" --volume "$folder/out:/out" --volume "$folder/scratch:/scratch" \
    --entrypoint "$program" "$image" "$@"
}

SECONDS=0
[ "$(inside ro id -u)" = "$user" ] || { echo "the user is not $user" >&2; exit 1; }
for path in / /usr /opt /data; do  # not even by root
  if user=0 inside ro touch "$path/written" 2> /dev/null; then echo "$path can be written" >&2; exit 1; fi
done
routes="$(inside ro tail -n +2 /proc/net/route)"
[ -z "$routes" ] || { echo "a network can be reached: $routes" >&2; exit 1; }
inside rw qsmengine phantom --out /data --sessions 2 --modality gre dwi --quiet
inside ro qsmengine-bids /data /out participant --preset fast --nprocs 2
inside ro qsmengine-bids /data /out group
echo "$image: two sessions in $SECONDS s; user $user, read-only root, no network"
if command -v bids-validator-deno > /dev/null; then
  for dataset in data out; do bids-validator-deno --ignoreWarnings "$folder/$dataset"; done
else
  echo "bids-validator-deno is not installed: the datasets were not validated"
fi
