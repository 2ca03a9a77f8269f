"""Convolutions between two masked regions, with their adjoints."""

from __future__ import annotations

import numpy as np

from qsmengine.backend.fft import RealFFT
from qsmengine.backend.launch import launch
from qsmengine.backend.signatures.masked import MASKED_FILTER, MASKED_MULTIPLY, MASKED_SCALE
from qsmengine.data import Array


class MaskedConvolution:
    """Operator A = W_out C W_in with a symmetric convolution C: A x = W_out (c * (W_in x)).

    A call takes two FFTs, a pass in k-space and a pass over the weights; results share one buffer.

    Parameters
    ----------
    fft
        Plan of the grid.
    response
        Half spectrum of c, float32 (nx, ny, nz // 2 + 1): real, since c is symmetric.
    w_out, w_in
        Weights float32 (nx, ny, nz); None for 1.
    """

    def __init__(self, fft: RealFFT, response: Array, w_out: Array, w_in: Array | None) -> None:
        self._fft, self._response = fft, response
        self._w_out, self._w_in = w_out, w_in
        self._weighted = fft.device.empty(fft.shape)
        self._result = fft.device.empty(fft.shape)
        self._spectrum = fft.device.empty(fft.spectrum_shape, np.complex64)

    def convolve(self, x: Array) -> Array:
        """Return C x without the weights."""
        device = self._fft.device
        self._fft.forward(x, self._spectrum)
        launch(
            MASKED_FILTER, device, spectrum=self._spectrum, response=self._response, scale=self._fft.scale
        )  # fmt: skip
        return self._fft.inverse(self._spectrum, self._result, scaled=False)

    def forward(self, x: Array) -> Array:
        """Return A x for an x that W_in does not change: x is 0 where W_in is 0, and W_in is 1 elsewhere."""
        y = self.convolve(x)
        launch(MASKED_SCALE, self._fft.device, y=y, w=self._w_out)
        return y

    def adjoint(self, r: Array) -> Array:
        """Return A^T r = W_in C (W_out r)."""
        launch(MASKED_MULTIPLY, self._fft.device, a=self._w_out, b=r, out=self._weighted)
        x = self.convolve(self._weighted)
        if self._w_in is not None:
            launch(MASKED_SCALE, self._fft.device, y=x, w=self._w_in)
        return x
