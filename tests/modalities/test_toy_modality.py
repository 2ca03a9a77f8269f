import csv
from functools import _lru_cache_wrapper

import numpy as np
import pytest

from qsmengine.cli import listing
from qsmengine.cli.main import main
from qsmengine.cohort.dicom_import import convert
from qsmengine.cohort.outputs.reports import write_reports
from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.cohort.run import run_cohort
from qsmengine.cohort.settings import RunSettings
from qsmengine.grid import Grid
from qsmengine.io import write_image
from qsmengine.io.dicom import Converted
from qsmengine.io.nifti import read_image
from qsmengine.modalities import registry as modalities
from qsmengine.pipeline.configuration import model as configuration
from qsmengine.pipeline.configuration.config import load_config
from qsmengine.report import methods_text
from qsmengine.stages import registry as stages
from tests.cohort.making import Dataset
from tests.modalities.toy import description as toy


def clear_caches():
    for module in (modalities, configuration, stages, methods_text):
        for function in vars(module).values():
            if isinstance(function, _lru_cache_wrapper):
                function.cache_clear()


@pytest.fixture
def registered(monkeypatch):
    """The toy modality and its stage beside those of the package."""
    monkeypatch.setattr(stages, "STAGES", (*stages.STAGES, toy.STAGE))
    monkeypatch.setitem(modalities.MODALITIES, "pd", "tests.modalities.toy")
    for command in modalities.commands():
        monkeypatch.setitem(listing.COMMANDS, command.name, command)
    clear_caches()
    yield
    monkeypatch.undo()
    clear_caches()


@pytest.fixture
def dataset(tmp_path):
    """A subject with a proton-density image, a segmentation on its grid, and another modality beside it."""
    dataset = Dataset(tmp_path / "bids", seed=11)
    dataset.image("sub-01/anat/sub-01_PDw.nii.gz")
    labels = np.where(np.arange(dataset.grid.shape[0]) < 3, 4, 43).astype(np.int16)
    labels = np.broadcast_to(labels[:, None, None], dataset.grid.shape)
    path = dataset.root / "derivatives" / "seg" / "sub-01" / "anat" / "sub-01_dseg.nii.gz"
    path.parent.mkdir(parents=True)
    write_image(path, np.ascontiguousarray(labels), dataset.grid)
    dataset.dwi("01")
    return dataset


def test_a_modality_of_sixty_lines_runs_from_bids_to_its_page(registered, dataset, tmp_path):
    config, out = load_config(preset="fast"), tmp_path / "out"
    plan = plan_cohort(dataset.root, out, config, lut="freesurfer-aseg")
    (session,) = plan.sessions
    steps = {step.kind: step for step in session.steps}
    assert set(steps) == {"dti", "pd", "regions"}
    assert set(steps["pd"].outputs) >= {
        "sub-01/anat/sub-01_densitymap.nii.gz",
        "sub-01/anat/sub-01_densitymap.json",
    }

    assert run_cohort(plan, RunSettings(workers=0, device="cpu")).exit_code == 0
    made = read_image(out / "sub-01" / "anat" / "sub-01_densitymap.nii.gz").array
    image = read_image(dataset.root / "sub-01" / "anat" / "sub-01_PDw.nii.gz").array
    np.testing.assert_allclose(made, image / image.max(), rtol=1e-6)

    ignored = (out / ".bidsignore").read_text().splitlines()
    assert set(ignored) >= {"*_densitymap.*", "*_dwimap.*", "*_prov.json"}

    table = next(out.rglob("*_stats.tsv"))
    rows = list(csv.DictReader(table.read_text().splitlines(), delimiter="\t"))
    found = sorted(
        float(row["pd_mean"])
        for row in rows
        if row["hemisphere"] in {"left", "right"} and row["n_voxels"] not in {"0", "n/a"}
    )
    where = read_image(dataset.root / "derivatives/seg/sub-01/anat/sub-01_dseg.nii.gz", dtype=np.int16).array
    assert found == pytest.approx(sorted(float(made[where == value].mean()) for value in (4, 43)), rel=1e-5)

    write_reports(out)
    page = (out / "sub-01.html").read_text()
    assert "<h2>Proton density" in page
    assert page.count("<img") >= 2
    text = (out / "logs" / "CITATION.md").read_text()
    assert "Proton-density-weighted images of 1 session" in text
    assert "Proton density is the signal over its maximum (Toy and Toy 1999)" in text


def test_its_command_is_listed_and_runs(registered, dataset, tmp_path, capsys):
    assert main(["--help"]) == 0
    assert "Compute relative proton density." in capsys.readouterr().out
    image, out = dataset.root / "sub-01" / "anat" / "sub-01_PDw.nii.gz", tmp_path / "out"
    assert main(["pd", str(image), "--out", str(out)]) == 0
    made = out / "sub-01" / "anat" / "sub-01_densitymap.nii.gz"
    assert str(made) in capsys.readouterr().out
    assert read_image(made).array.max() == 1


def test_its_dicom_series_are_imported_beside_those_of_the_package(registered, tmp_path, monkeypatch):
    grid = Grid.from_voxel_size((6, 6, 6), (1.0, 1.0, 1.0))
    images = []
    for number, description in enumerate(("axial proton density", "gre_qsm"), start=1):
        path = tmp_path / f"{number}.nii"
        write_image(path, np.full(grid.shape, number, np.float32), grid)
        fields = {"SeriesNumber": number, "SeriesDescription": description}
        images.append(Converted(path, fields | {"ScanningSequence": "GR", "EchoTime": 0.01}))
    monkeypatch.setattr(convert, "convert_dicom", lambda source, scratch: (images, []))
    done = convert.import_dicom(tmp_path, tmp_path / "bids", "01")
    names = [name for name in done.files if name.endswith(".nii.gz")]
    assert names == ["sub-01/anat/sub-01_part-mag_T2starw.nii.gz", "sub-01/anat/sub-01_PDw.nii.gz"]
    assert done.left_out == ()


def test_the_phantom_command_draws_a_cohort_of_it(registered, tmp_path):
    out = tmp_path / "bids"
    arguments = ["phantom", "--modality", "toy", "dwi", "--sessions", "2", "--voxel-size", "8", "--snr", "20"]
    assert main([*arguments, "--seed", "5", "--out", str(out)]) == 0
    first, second = (read_image(out / f"sub-{s}" / "anat" / f"sub-{s}_PDw.nii.gz") for s in ("01", "02"))
    labels = read_image(out / "derivatives/truth/sub-01/anat/sub-01_dseg.nii.gz", dtype=np.int16).array
    white = np.isin(labels, (2, 41))
    noise = (first.array - second.array)[white].std() / np.sqrt(2)
    assert noise == pytest.approx(first.array[white].mean() / 20, rel=0.2)
    steps = [{step.kind for step in s.steps} for s in plan_cohort(out, tmp_path / "x", load_config()).sessions]
    assert steps == [{"dti", "pd", "regions"}] * 2


@pytest.mark.parametrize(("name", "step"), list(zip(modalities.names(), modalities.step_names(), strict=True)))
def test_registry_description_command_and_drawing_agree_on_names(name, step):
    modality = modalities.modality_of(step)
    assert (modality.name, modality.step) == (name, step)
    assert modality.drawing is None or (modality.drawing.name, modality.drawing.step) == (name, step)


def test_random_streams_of_the_drawings_differ():
    streams = [one.drawing.stream for one in modalities.all_modalities() if one.drawing is not None]
    assert len(set(streams)) == len(streams)
    assert min(streams) > 1


def test_the_toy_is_gone_with_its_registration():
    assert "pd" not in modalities.step_names()
    assert toy.STAGE.name not in stages.stage_names()
