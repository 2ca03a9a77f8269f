"""Magnitudes and echo times in different orders."""

from dataclasses import replace

import numpy as np
import pytest

from qsmengine.backend.device import cpu
from qsmengine.cli.main import main
from qsmengine.errors import InputError
from qsmengine.modalities.gre.echo_phases import check_phases, check_progression
from qsmengine.modalities.gre.run import run_qsm
from qsmengine.phantom import virtual_head
from qsmengine.pipeline.configuration.config import load_config
from tests.made_sessions import make_ball, qsm_arguments, write_ball

QUICK = ("inversion=tkd", "background=vsharp", "background.max_radius=12")


@pytest.fixture(scope="module")
def head():
    return virtual_head(voxel_size=(6.0, 6.0, 6.0), snr=60.0, seed=int(np.random.default_rng().integers(1000)))


def test_echoes_from_the_last_to_the_first_are_refused(head):
    series = head.gre
    config = load_config(settings=QUICK)
    run_qsm(series, config, cpu(), mask=head.mask)
    turned = replace(series, magnitude=series.magnitude[..., ::-1], phase=series.phase[..., ::-1])
    with pytest.raises(InputError, match=r"the signal grows with the echo time.*input.brighter_later=true"):
        run_qsm(turned, config, cpu(), mask=head.mask)


def test_echoes_with_scales_of_their_own_are_accepted_when_that_is_said(head):
    scales = np.array([1.0, 2.0, 4.0, 8.0], dtype=np.float32)
    series = replace(head.gre, magnitude=head.gre.magnitude * scales)
    config = load_config(settings=(*QUICK, "input.brighter_later=true"))
    found = run_qsm(series, config, cpu(), mask=head.mask)
    expected = run_qsm(head.gre, config, cpu(), mask=head.mask)
    inside = found.mask & expected.mask
    assert np.corrcoef(found.chi[inside], expected.chi[inside])[0, 1] > 0.9


@pytest.mark.parametrize("pair", [(1, 2), (0, 1), (0, 2)])
def test_two_exchanged_echoes_are_named(head, pair):
    order = np.arange(4)
    order[list(pair)] = pair[::-1]
    check_progression(head.gre.magnitude, head.gre.phase, head.gre.echo_times)
    named = f"echoes {pair[0] + 1} and {pair[1] + 1} change places"
    for magnitude in (head.gre.magnitude, head.gre.magnitude[..., order]):
        with pytest.raises(InputError, match=rf"EchoTime: the phase does not grow evenly .*{named}"):
            check_progression(magnitude, head.gre.phase[..., order], head.gre.echo_times)


@pytest.mark.parametrize("echo", range(4))
def test_an_echo_of_the_opposite_sign_is_named(head, echo):
    phase = head.gre.phase * np.where(np.arange(4) == echo, -1, 1)
    check_phases(head.gre.magnitude, -head.gre.phase, head.gre.echo_times)
    with pytest.raises(InputError, match=rf"^phase: the phase does not .* echo {echo + 1} changes"):
        check_phases(head.gre.magnitude, phase, head.gre.echo_times)


def test_an_echo_given_twice_is_named(head):
    magnitude, phase, times = head.gre.magnitude, head.gre.phase, head.gre.echo_times
    with pytest.raises(InputError, match=r"^phase: echoes 2 and 4 have the same values in every voxel"):
        check_phases(magnitude, phase[..., [0, 1, 2, 1]], times)
    with pytest.raises(InputError, match=r"^magnitude: echoes 1 and 2 have the same values"):
        check_phases(magnitude[..., [0, 0, 2, 3]], phase, times)
    check_phases(magnitude[..., [0, 0, 0, 0]], phase, times)


def test_an_echo_without_signal_is_named(head):
    magnitude, phase, times = head.gre.magnitude, head.gre.phase, head.gre.echo_times
    lost = np.arange(4) == 2
    with pytest.raises(InputError, match=r"^phase: the phase of echo 3 is constant"):
        check_phases(magnitude, np.where(lost, np.float32(0.5), phase), times)
    with pytest.raises(InputError, match=r"^magnitude: every magnitude of echo 3 is 0"):
        check_phases(np.where(lost, np.float32(0), magnitude), phase, times)


def test_alternating_readouts_noise_and_uneven_echoes_pass(head, rng):
    magnitude, phase, times = head.gre.magnitude, head.gre.phase, head.gre.echo_times
    ramp = np.linspace(-9, 9, phase.shape[0], dtype=np.float32)[:, None, None, None]
    check_progression(magnitude, phase + ramp * [0, 1, 0, 1], times)
    check_progression(magnitude, rng.uniform(-np.pi, np.pi, phase.shape), times)
    order = [0, 2, 1, 3]
    check_progression(magnitude, phase[..., order], (0.004, 0.011, 0.02, 0.028))
    check_progression(0 * magnitude, phase[..., order], times)


def test_the_command_names_the_file_and_writes_nothing(tmp_path, capsys):
    files = write_ball(tmp_path / "in" / "sub-01" / "anat", make_ball(1, shape=(24, 22, 20)))
    for paths in files.values():
        first, last = (path.read_bytes() for path in (paths[0], paths[-1]))
        paths[0].write_bytes(last)
        paths[-1].write_bytes(first)
    out = tmp_path / "out"
    assert main(qsm_arguments(files, out, "--quiet")) == 3
    error = capsys.readouterr().err
    assert str(files["mag"][0]) in error
    assert "the signal grows with the echo time" in error
    assert not list(out.rglob("*.nii.gz"))
