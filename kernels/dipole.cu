// The unit dipole in k-space, on the half spectrum of a real transform.
#include "tile.h"

// Signed frequency index of bin i of n.
FN float frequency(Index i, Index n) { return (float)(2 * i > n ? i - n : i); }

// D(k) = 1/3 - (k.b)^2 / |k|^2, D(0) = 0. dkx = 1 / (nx voxel_x) [1/mm] and so on; b: unit vector of B0. A bin at an
// axis' Nyquist frequency represents both +f and -f. Averaging over the two signs removes the products of this axis
// with the others from (k.b)^2, so the kernel is real and flips with the image for every b.
KERNEL(dipole_kspace,
       (float* dipole, float bx, float by, float bz, float dkx, float dky, float dkz, Index nz_real, Index nx,
        Index ny, Index nh),
       (dipole, bx, by, bz, dkx, dky, dkz, nz_real, nx, ny, nh)) {
  FOR_ROWS(row, nx * ny) {
    Index x = row / ny, y = row % ny;
    float kx = frequency(x, nx) * dkx, ky = frequency(y, ny) * dky;
    float x_mixed = 2 * x == nx ? 0.0f : bx * kx, y_mixed = 2 * y == ny ? 0.0f : by * ky;
    float squares = bx * kx * bx * kx + by * ky * by * ky, length = kx * kx + ky * ky;
    ROW_FOR(k, (int)nh) {
      float kz = (float)k * dkz;
      float z_mixed = 2 * k == (int)nz_real ? 0.0f : bz * kz;
      float k2 = length + kz * kz;
      float kb2 = squares + bz * kz * bz * kz;
      kb2 += 2.0f * (x_mixed * y_mixed + (x_mixed + y_mixed) * z_mixed);
      dipole[row * nh + k] = k2 > 0.0f ? 1.0f / 3.0f - kb2 / k2 : 0.0f;
    }
  }
}
