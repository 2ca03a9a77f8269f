// Polynomials up to second order in each coordinate, as sums and as fields. Coordinates are
// x = x0 + i dx and so on; coefficient [j][a][b] belongs to x^j y^a z^b.
#include "tile.h"

// moments[j] = sum over x of weight field x^j, for j = 0, 1, 2, per (y, z).
KERNEL(shim_moments,
       (const float* RESTRICT weight, const float* RESTRICT field, double* RESTRICT moments, float x0, float dx,
        Index nx, Index ny, Index nz),
       (weight, field, moments, x0, dx, nx, ny, nz)) {
  Index n = ny * nz;
  PRIVATE(double, sums, 3);
  FOR_TILES(tile, (n + TILE_LANES - 1) / TILE_LANES) {
    Index start = tile * TILE_LANES;
    FOR_LANES(l) {
      AT(sums, 0, l) = 0.0f;
      AT(sums, 1, l) = 0.0f;
      AT(sums, 2, l) = 0.0f;
    }
    for (Index ix = 0; ix < nx; ++ix) {
      float x = x0 + (float)ix * dx;
      FOR_LANES(l) {
        Index i = start + l < n ? ix * n + start + l : ix * n;
        float value = weight[i] * field[i];
        AT(sums, 0, l) += value;
        AT(sums, 1, l) += value * x;
        AT(sums, 2, l) += value * x * x;
      }
    }
    FOR_LANES(l) {
      if (start + l < n) {
        moments[start + l] = AT(sums, 0, l);
        moments[n + start + l] = AT(sums, 1, l);
        moments[2 * n + start + l] = AT(sums, 2, l);
      }
    }
  }
}

// field -= weight times the polynomial.
KERNEL(shim_subtract,
       (float* RESTRICT field, const float* RESTRICT weight, const double* RESTRICT coefficients, float x0,
        float dx, float y0, float dy, float z0, float dz, Index nx, Index ny, Index nz),
       (field, weight, coefficients, x0, dx, y0, dy, z0, dz, nx, ny, nz)) {
  FOR_TILES(row, nx * ny) {
    float x = x0 + (float)(row / ny) * dx, y = y0 + (float)(row % ny) * dy;
    float of_z[3];
    for (int b = 0; b < 3; ++b) {
      float of_y[3];
      for (int a = 0; a < 3; ++a) {
        const double* c = coefficients + 3 * a + b;
        of_y[a] = (float)c[0] + x * ((float)c[9] + x * (float)c[18]);
      }
      of_z[b] = of_y[0] + y * (of_y[1] + y * of_y[2]);
    }
    float constant = of_z[0], linear = of_z[1], square = of_z[2];
    float* f = field + row * nz;
    const float* w = weight + row * nz;
    TILE_FOR(k, (int)nz) {
      float z = z0 + (float)k * dz;
      f[k] -= w[k] * (constant + z * (linear + z * square));
    }
  }
}
