// Polynomials up to second order in each coordinate: their moments and their fields. Coordinates are x = x0 + i dx
// and so on; coefficient [j][a][b] belongs to x^j y^a z^b.
#include "tile.h"

#define ROWS 8
#define LANES 32
#define STRIDE TILE_PICK(LANES, LANES + 1)  // on a GPU, puts the sums of one lane into different banks

// moments[b] = sum over z of weight field z^b, for b = 0, 1, 2, per (x, y).
KERNEL(shim_moments,
       (const float* RESTRICT weight, const float* RESTRICT field, double* RESTRICT moments, float z0, float dz,
        Index nx, Index ny, Index nz),
       (weight, field, moments, z0, dz, nx, ny, nz)) {
  Index n = nx * ny;
  TILE_SHARED(double, sums, 3 * ROWS * STRIDE);
  FOR_TILES(tile, (n + ROWS - 1) / ROWS) {
    Index first = tile * ROWS;
    int rows = (int)(n - first < ROWS ? n - first : ROWS);
    TILE_FOR2(j, l, rows, LANES) {
      for (int b = 0; b < 3; ++b) sums[(b * ROWS + j) * STRIDE + l] = 0.0f;
    }
    for (int base = 0; base < (int)nz; base += LANES) {
      int count = (int)nz - base < LANES ? (int)nz - base : LANES;
      TILE_FOR2(j, l, rows, count) {
        Index i = (first + j) * nz + base + l;
        float value = weight[i] * field[i], z = z0 + (float)(base + l) * dz;
        sums[j * STRIDE + l] += value;
        sums[(ROWS + j) * STRIDE + l] += value * z;
        sums[(2 * ROWS + j) * STRIDE + l] += value * z * z;
      }
    }
    TILE_SYNC();
    TILE_FOR2(b, j, 3, rows) {
      double sum = 0.0f;
      for (int l = 0; l < LANES; ++l) sum += sums[(b * ROWS + j) * STRIDE + l];
      moments[b * n + first + j] = sum;
    }
    TILE_SYNC();
  }
}

// field -= weight times the polynomial.
KERNEL(shim_subtract,
       (float* RESTRICT field, const float* RESTRICT weight, const double* RESTRICT coefficients, float x0,
        float dx, float y0, float dy, float z0, float dz, Index nx, Index ny, Index nz),
       (field, weight, coefficients, x0, dx, y0, dy, z0, dz, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
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
    ROW_FOR(k, (int)nz) {
      float z = z0 + (float)k * dz;
      f[k] -= w[k] * (constant + z * (linear + z * square));
    }
  }
}
