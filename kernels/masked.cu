// Masked convolutions: passes around the FFTs of the operators W conv(x) and (1 - M) conv(W r).
#include "tile.h"

// out = a b.
KERNEL(masked_multiply,
       (const float* RESTRICT a, const float* RESTRICT b, float* RESTRICT out, Index nx, Index ny, Index nz),
       (a, b, out, nx, ny, nz)) {
  FOR_VOXELS(i, nx * ny * nz) { out[i] = a[i] * b[i]; }
}

// y *= w.
KERNEL(masked_scale, (float* RESTRICT y, const float* RESTRICT w, Index nx, Index ny, Index nz),
       (y, w, nx, ny, nz)) {
  FOR_VOXELS(i, nx * ny * nz) { y[i] *= w[i]; }
}

// spectrum *= response scale: convolution with a real, symmetric kernel; `scale` is that of the inverse FFT.
KERNEL(masked_filter,
       (Complex* RESTRICT spectrum, const float* RESTRICT response, float scale, Index nx, Index ny, Index nh),
       (spectrum, response, scale, nx, ny, nh)) {
  FOR_VOXELS(i, nx * ny * nh) {
    float factor = response[i] * scale;
    spectrum[i].re *= factor;
    spectrum[i].im *= factor;
  }
}
