"""`python -m bench atrophy`: atrophy of the drawn cohort of Pontillo 2019, as segmentation measures it.

T1-weighted and FLAIR images of each participant are drawn as by `qsmengine reproduce pontillo2019 --level
scanner`, here in one pose, and segmented as by `qsmengine run`: candidates for lesions count as white matter.
Printed are, for the volume of each structure and tissue, error and its spread, and the difference of patients
and controls, true and measured. Measured volumes are normalised by the size of the head, relative to the mean::

    difference = 100 (mean of patients / mean of controls - 1)

The standard error is that of measured minus true difference: both groups' errors, participant by participant.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from qsmengine import reconstruct_anatomy
from qsmengine.backend.device import resolve_device
from qsmengine.data import Map
from qsmengine.phantom.labels import HeadIndex, load_head_index
from qsmengine.studies.pontillo2019.atrophy import participant_head, tissue_volumes
from qsmengine.studies.pontillo2019.cohort import GROUPS, draw_cohort
from qsmengine.studies.pontillo2019.raw_head import participant_anatomy
from qsmengine.studies.pontillo2019.scanner_head import BRAIN, HEAD, structural_images

STRUCTURES = ("thalamus", "caudate", "putamen", "pallidum", "hippocampus")
VOLUMES = (*STRUCTURES, *BRAIN)
LOADS = "lesion_load"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench atrophy", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the cohort")
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=GROUPS, help="groups to draw")
    parser.add_argument("--per-group", type=int, default=4, help="participants of each group")
    parser.add_argument("--table", type=Path, help="file for the volumes [mL]; participants in it are kept")
    parser.add_argument("--threads", type=int, default=1, help="of the segmentation")
    options = parser.parse_args(argv)
    cohort = draw_cohort(options.seed)
    cohort = cohort[cohort["group"].isin(options.groups)]
    cohort = cohort[cohort.groupby("group").cumcount() < options.per_group]
    order = cohort.groupby("group").cumcount().argsort(kind="stable")  # the groups in turn
    known = _known(options.table)
    rows = []
    for row in cohort.iloc[order].to_dict("records"):
        key = str(row["participant_id"])
        if key not in known:
            start = time.perf_counter()
            found = measured({str(k): v for k, v in row.items()}, options.seed, options.threads)
            known[key] = {"participant_id": key, "group": row["group"], **found}
            _write(options.table, list(known.values()))
            print(f"{key} ({row['group']}): {time.perf_counter() - start:.0f} s", flush=True)
        rows.append(known[key])
    made = pd.DataFrame(rows)
    if options.per_group > 1 and len({group == "HC" for group in made["group"]}) == 2:
        print_differences(made)
    else:
        print("differences need two controls and two patients or more")
    return 0


def measured(values: Mapping[str, float], seed: int, threads: int) -> dict[str, float]:
    """Return true and measured volumes [mL] of a participant, and the factor of the size of the head."""
    number = int(str(values["participant_id"]).removeprefix("sub-"))
    shape, texture, scan = np.random.SeedSequence([2019, seed, number]).spawn(3)
    head = participant_head(load_head_index(HEAD), values, shape)
    drawn = structural_images(
        participant_anatomy(head, values, texture), ("T1w", "FLAIR"), np.random.default_rng(scan)
    )
    grid = drawn.placement.grid
    found = reconstruct_anatomy(
        drawn.images["T1w"], grid, flair=Map(drawn.images["FLAIR"], "arbitrary", grid), fill_screened=True,
        device=resolve_device("cpu", threads),
    )  # fmt: skip
    sizes = found.volumes
    if sizes.size is None or sizes.screening is None:
        raise RuntimeError(f"{values['participant_id']}: no size of the head: {'; '.join(found.notes)}")
    ours = {name: sum(s.volume for s in found.structures if s.name == name) for name in STRUCTURES}
    ours |= {"NBV": sizes.brain, "NGMV": sizes.gm, "NWMV": sizes.wm}
    true = _volumes(head)
    made = {f"true_{name}": true[name] for name in (*VOLUMES, LOADS)}
    made |= {f"measured_{name}": 1e-3 * ours[name] for name in VOLUMES}
    return {**made, f"measured_{LOADS}": sizes.screening.load, "scaling": sizes.size.scaling}


def _volumes(head: HeadIndex) -> dict[str, float]:
    """Return the true volumes [mL] of structures and tissues."""
    unit = 1e-3 * head.grid.voxel_volume
    inside = {s: head.lookup([region.name == s for region in head.regions], bool) for s in STRUCTURES}
    return {**tissue_volumes(head), **{name: unit * float(mask.sum()) for name, mask in inside.items()}}


def print_differences(table: pd.DataFrame) -> None:
    patients = (table["group"] != "HC").to_numpy()
    size = table["scaling"] / table["scaling"].mean()
    print(f"{(~patients).sum()} controls, {patients.sum()} patients; SD of head size {100 * size.std():.2f} %")
    print("volume: error, SD [%]; r; difference true, measured, standard error [%]; measured / true")
    for name in VOLUMES:
        true, ours = (table[f"{kind}_{name}"].to_numpy(np.float64) for kind in ("true", "measured"))
        error = 100 * (ours / true - 1)
        normalised = ours * size.to_numpy()
        apart = [100 * (v[patients].mean() / v[~patients].mean() - 1) for v in (true, normalised)]
        spread = 100 * (np.log(normalised / true))
        noise = np.sqrt(sum(np.var(spread[part], ddof=1) / part.sum() for part in (patients, ~patients)))
        ratio = f"{apart[1] / apart[0]:.2f} +- {noise / abs(apart[0]):.2f}" if abs(apart[0]) > noise else "n/a"
        r = np.corrcoef(true, normalised)[0, 1] if np.ptp(true) > 0 else np.nan
        print(f"{name:12} {error.mean():+6.1f} {error.std(ddof=1):5.1f}  {r:.2f}  "
              f"{apart[0]:+6.1f} {apart[1]:+6.1f} {noise:5.1f}  {ratio}")  # fmt: skip


def _known(path: Path | None) -> dict[str, dict[str, object]]:
    """Return the participants of a table that was written before."""
    if path is None or not path.is_file():
        return {}
    rows = pd.read_csv(path, sep="\t").to_dict("records")
    return {str(row["participant_id"]): {str(k): v for k, v in row.items()} for row in rows}


def _write(path: Path | None, rows: list[dict[str, object]]) -> None:
    if path is not None:
        pd.DataFrame(rows).to_csv(path, sep="\t", index=False, float_format="%.6g")


if __name__ == "__main__":
    raise SystemExit(main([]))
