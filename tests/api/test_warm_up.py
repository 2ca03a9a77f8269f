"""Small runs compile what real ones need."""

import pytest

from qsmengine.api import warm_up as small
from qsmengine.backend.device import cpu
from qsmengine.modalities.dwi.run import run_dti
from qsmengine.modalities.dwi.warm_up import TENSOR_FITS
from qsmengine.modalities.gre import warm_up as gre_warm_up
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.modalities.registry import all_modalities
from qsmengine.phantom.head import virtual_head
from qsmengine.pipeline.configuration.config import DEFAULT_PRESET, load_config, preset_names
from tests.made_sessions import make_ball


def test_runs_are_told_before_they_start(monkeypatch):
    events = []
    runs = {name: lambda name=name: events.append(f"ran {name}") for name in ("fast", "ols")}
    monkeypatch.setattr(small, "_runs", lambda device: runs)
    assert small.warm_up(None, events.append) == ["fast", "ols"]
    assert events == ["fast", "ran fast", "ols", "ran ols"]


def test_every_preset_fit_and_filter_has_a_run(monkeypatch):
    head = virtual_head(voxel_size=(10.0, 10.0, 10.0), modalities=("gre", "dwi"))
    monkeypatch.setattr(small, "virtual_head", lambda **_: head)
    fits = {*TENSOR_FITS, "brain mask"}
    assert set(preset_names()) | fits | set(small.FILTERS) == set(small._runs(cpu()))


@pytest.mark.slow
def test_a_chain_needs_no_kernel_that_the_small_runs_have_not_compiled(gpu, monkeypatch):
    ufuncs = pytest.importorskip("standin.ufuncs", reason="the stand-in alone tells the types of operations")
    from standin.counting import record

    loops, find = set(), ufuncs._loop

    def note_loop(name, operands, dtype):
        loops.add((name, operands, dtype))
        return find(name, operands, dtype)

    monkeypatch.setattr(ufuncs, "_loop", note_loop)
    monkeypatch.setattr(gre_warm_up, "preset_names", lambda: (DEFAULT_PRESET,))
    with record() as counts:
        small.warm_up(gpu)
    compiled = {(kind, name) for kind, name, _ in counts.events if kind in {"kernel", "operation", "fft"}}
    known = set(loops)
    assert len(compiled) > 50
    others = [modality for modality in all_modalities() if modality.name != "gre"]
    drawings = [modality.drawing for modality in others]
    ball, head = make_ball(41), virtual_head(voxel_size=(7.0, 7.0, 7.0), snr=50.0, modalities=drawings)
    with record() as counts:
        run_qsm(ball.series, load_config(), gpu)
        run_dti(head.dwi, load_config(), gpu)
        for run in (run for modality in others for run in modality.warm_up(head, gpu).values()):
            run()
    needed = {(kind, name) for kind, name, _ in counts.events if kind in {"kernel", "operation", "fft"}}
    assert needed <= compiled
    assert loops == known
