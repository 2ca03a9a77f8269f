import numpy as np
import pytest

from qsmengine.errors import InputError
from qsmengine.phantom import virtual_head
from qsmengine.phantom.gre import gre_signal, smooth_coil


def test_echoes_decay_with_r2star(head):
    gre, r2star = head.gre, head.truth["r2star"].array
    ratio = gre.magnitude[..., 3][head.mask] / gre.magnitude[..., 0][head.mask]
    fitted = -np.log(ratio) / (gre.echo_times[3] - gre.echo_times[0])
    np.testing.assert_allclose(fitted, r2star[head.mask], rtol=1e-3, atol=1e-2)


def test_phase_between_echoes_is_the_shimmed_total_field(head):
    gre, field = head.gre, head.truth["total_field"].array.astype(np.float64)
    step = gre.echo_times[1] - gre.echo_times[0]
    radians = 2 * np.pi * 42.576e6 * 3.0 * 1e-6 * step * field
    difference = gre.phase[..., 1].astype(np.float64) - gre.phase[..., 0]
    error = np.angle(np.exp(1j * (difference - radians)))
    assert np.abs(error)[head.truth["m0"].array > 0].max() < 1e-3


def test_phase_at_echo_time_zero_is_smooth_and_not_zero(head):
    gre, field = head.gre, head.truth["total_field"].array.astype(np.float64)
    radians = 2 * np.pi * 42.576e6 * 3.0 * 1e-6 * gre.echo_times[0] * field
    offset = np.exp(1j * (gre.phase[..., 0] - radians))
    jump = np.angle(offset[1:] * offset[:-1].conj())[head.mask[1:] & head.mask[:-1]]
    assert np.abs(np.angle(offset[head.mask])).max() > 0.5
    assert np.abs(jump).max() < 0.3


def test_phase_is_zero_where_there_is_no_signal(head):
    empty = head.truth["m0"].array == 0
    assert empty.any()
    assert not head.gre.phase[empty].any()
    assert not head.gre.magnitude[empty].any()


def test_noise_has_the_promised_level(head):
    snr = 40.0
    noisy = virtual_head(voxel_size=(4.0, 4.0, 4.0), snr=snr)
    white = np.isin(head.labels, (2, 41)) & head.mask
    sigma = head.gre.magnitude[..., 0][white].mean() / snr
    clean, found = (g.magnitude * np.exp(1j * g.phase) for g in (head.gre, noisy.gre))
    noise = found - clean
    for part in (noise.real, noise.imag):
        assert part.std() == pytest.approx(sigma, rel=0.02)
        assert abs(part.mean()) < 0.02 * sigma


def test_echo_times_in_milliseconds_are_refused(head, rng):
    zeros = np.zeros(head.grid.shape, np.float32)
    with pytest.raises(InputError, match="EchoTime"):
        gre_signal(
            total_field=zeros, r2star=zeros, m0=zeros, coil=smooth_coil(head.grid, rng), grid=head.grid,
            echo_times=(4.0, 8.0), snr=None, reference=head.mask, rng=rng,
        )  # fmt: skip
