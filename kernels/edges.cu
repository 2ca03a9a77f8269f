// Weighted periodic forward differences and their adjoint: one value per edge between two voxels.
#include "tile.h"

// d = w E x: component a holds w_a(i) (x(i + 1 along a) - x(i)) h_a, h = 1 / voxel [1/mm].
KERNEL(edge_differences,
       (const float* RESTRICT x, const float* RESTRICT w, float* RESTRICT d, float hx, float hy, float hz,
        Index nx, Index ny, Index nz),
       (x, w, d, hx, hy, hz, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_ROWS(row, nx * ny) {
    Index first = row * nz;
    Index dx = (row / ny + 1 < nx ? 1 : 1 - nx) * ny * nz, dy = (row % ny + 1 < ny ? 1 : 1 - ny) * nz;
    ROW_FOR(k, (int)nz) {
      Index i = first + k;
      d[i] = w[i] * (x[i + dx] - x[i]) * hx;
      d[n + i] = w[n + i] * (x[i + dy] - x[i]) * hy;
    }
    ROW_FOR(k, (int)nz - 1) {
      Index i = first + k;
      d[2 * n + i] = w[2 * n + i] * (x[i + 1] - x[i]) * hz;
    }
    ROW_FOR(once, 1) {
      Index i = first + nz - 1 + once;
      d[2 * n + i] = w[2 * n + i] * (x[first] - x[i]) * hz;
    }
  }
}

// E^T w d at voxel i; dx, dy, dz are the distances to the preceding voxels.
FN float edge_adjoint_voxel(const float* d, const float* w, Index i, Index dx, Index dy, Index dz, float hx,
                            float hy, float hz, Index n) {
  Index j = n + i, l = 2 * n + i;
  return (w[i + dx] * d[i + dx] - w[i] * d[i]) * hx + (w[j + dy] * d[j + dy] - w[j] * d[j]) * hy +
         (w[l + dz] * d[l + dz] - w[l] * d[l]) * hz;
}

// x = E^T w d.
KERNEL(edge_adjoint,
       (const float* RESTRICT d, const float* RESTRICT w, float* RESTRICT x, float hx, float hy, float hz,
        Index nx, Index ny, Index nz),
       (d, w, x, hx, hy, hz, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_ROWS(row, nx * ny) {
    Index first = row * nz;
    Index dx = (row >= ny ? -1 : nx - 1) * ny * nz, dy = (row % ny > 0 ? -1 : ny - 1) * nz;
    ROW_FOR(k, (int)nz - 1) {
      Index i = first + k + 1;
      x[i] = edge_adjoint_voxel(d, w, i, dx, dy, -1, hx, hy, hz, n);
    }
    ROW_FOR(once, 1) {
      Index i = first + once;
      x[i] = edge_adjoint_voxel(d, w, i, dx, dy, nz - 1, hx, hy, hz, n);
    }
  }
}
