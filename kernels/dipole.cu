// The unit dipole in k-space on the half spectrum of a real transform.
#include "tile.h"

// Signed frequency index of bin i of n.
FN float frequency(Index i, Index n) { return (float)(2 * i > n ? i - n : i); }

FN float dipole_value(float kx, float ky, float kz, float bx, float by, float bz) {
  float k2 = kx * kx + ky * ky + kz * kz;
  float kb = kx * bx + ky * by + kz * bz;
  return k2 > 0.0f ? 1.0f / 3.0f - kb * kb / k2 : 0.0f;
}

// D(k) = 1/3 - (k.b)^2 / |k|^2, D(0) = 0. dkx = 1 / (nx voxel_x) [1/mm] and so on; b unit B0 direction.
// A bin at the Nyquist frequency stands for +f and -f at once: there the mean over both signs keeps the
// spectrum that of a real kernel, which an oblique b would otherwise break.
KERNEL(dipole_kspace,
       (float* dipole, float bx, float by, float bz, float dkx, float dky, float dkz, Index nz_real, Index nx,
        Index ny, Index nh),
       (dipole, bx, by, bz, dkx, dky, dkz, nz_real, nx, ny, nh)) {
  FOR_TILES(row, nx * ny) {
    Index x = row / ny, y = row % ny;
    float kx = frequency(x, nx) * dkx, ky = frequency(y, ny) * dky;
    float sx = 2 * x == nx ? -1.0f : 1.0f, sy = 2 * y == ny ? -1.0f : 1.0f;
    TILE_FOR(k, (int)nh) {
      float kz = (float)k * dkz;
      float sz = 2 * k == (int)nz_real ? -1.0f : 1.0f;
      float value = dipole_value(kx, ky, kz, bx, by, bz);
      float mirrored = dipole_value(sx * kx, sy * ky, sz * kz, bx, by, bz);
      dipole[row * nh + k] = 0.5f * (value + mirrored);
    }
  }
}
