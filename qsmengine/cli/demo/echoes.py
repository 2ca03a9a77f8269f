"""Part 1: a real head, two gradient echoes."""

from __future__ import annotations

from pathlib import Path

from qsmengine.backend.device import Device, to_numpy
from qsmengine.cli.demo.extras import missing
from qsmengine.cli.demo.summary import Summary
from qsmengine.cli.display.reporter import Reporter
from qsmengine.demo_data import demo_path
from qsmengine.modalities.gre.session import QsmRequest, run_qsm_session
from qsmengine.pipeline.configuration.config import load_config


def reconstruct_echoes(out: Path, device: Device, reporter: Reporter, summary: Summary) -> None:
    """Reconstruct the bundled two-echo series and draw its maps."""
    reporter.step("1. real gradient echoes: Philips 3 T, two echoes, 3 mm")
    data = demo_path("philips-gre-2echo-brain")
    folder = out / "gradient-echo"
    request = QsmRequest(
        magnitude=tuple(data / f"echo-{n}_mag.nii.gz" for n in (1, 2)),
        phase=tuple(data / f"echo-{n}_phase.nii.gz" for n in (1, 2)),
        out=folder,
        force=True,
    )
    with reporter.progress():
        outcome = run_qsm_session(request, load_config(), device, progress=reporter.on_step)
    result = outcome.completed()
    if not missing("report"):
        _picture(request, folder)
    inside = to_numpy(result["local_mask"])
    chi = to_numpy(result["chi"])[inside]
    rows = [
        ("brain", float(to_numpy(result["brain_mask"]).sum() * result.grid.voxel_volume / 1000), "ml"),
        ("chi, standard deviation", float(chi.std(dtype=float) * 1000), "ppb"),
        ("time without files", result.seconds, "s"),
    ]
    summary.table("Real gradient echoes", ("what", "value", "unit"), rows)


def _picture(request: QsmRequest, folder: Path) -> None:
    from qsmengine.report.figures import overview
    from qsmengine.report.panels import Panel

    mask = folder / "desc-reliable_mask.nii.gz"
    panels = [
        Panel(request.magnitude[0], "magnitude", "magnitude"),
        Panel(request.phase[1], "phase, echo 2", "phase"),
        Panel(folder / "desc-total_fieldmap.nii.gz", "total field", "field_hz", mask=mask),
        Panel(folder / "desc-local_fieldmap.nii.gz", "local field", "field_hz", window=(-20, 20)),
        Panel(folder / "Chimap.nii.gz", "susceptibility", "chi", window=(-0.3, 0.3)),
    ]
    overview(panels, folder / "overview.png", "Real head, two echoes (TE 2.3 and 4.6 ms, 3 mm)")
