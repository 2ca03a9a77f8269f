// Weighted sums under a symmetric window along one axis, in double precision.
#include "tile.h"

#define LINE 256

// sum(i) = weights[0] x(i) + sum over d of weights[d] (x(i - d) + x(i + d)) along `axis`, largest d first.
// places[taps - 1 + i] is the voxel used for position i of the axis, also beyond its ends.
KERNEL(window_sum,
       (const float* RESTRICT x, const double* RESTRICT weights, const int* RESTRICT places,
        float* RESTRICT sum, int axis, Index nx, Index ny, Index nz, Index taps, Index reached),
       (x, weights, places, sum, axis, nx, ny, nz, taps, reached)) {
  TILE_SHARED(double, total, LINE);
  FOR_TILES(row, nx * ny) {
    Index stride = axis == 0 ? ny * nz : nz, place = axis == 0 ? row / ny : row % ny;
    const int* here = places + taps - 1 + (axis == 2 ? 0 : place);
    const float* line = x + (axis == 2 ? row * nz : row * nz - place * stride);
    for (Index start = 0; start < nz; start += LINE) {
      int width = nz - start < LINE ? (int)(nz - start) : LINE;
      TILE_FOR(k, width) { total[k] = weights[0] * (double)x[row * nz + start + k]; }
      for (Index d = taps - 1; d > 0; --d) {
        double weight = weights[d];
        if (axis == 2) {
          TILE_FOR(k, width) {
            Index i = start + k;
            total[k] += weight * ((double)line[here[i - d]] + (double)line[here[i + d]]);
          }
        } else {
          const float* before = line + here[-d] * stride + start;
          const float* behind = line + here[d] * stride + start;
          TILE_FOR(k, width) { total[k] += weight * ((double)before[k] + (double)behind[k]); }
        }
      }
      TILE_FOR(k, width) { sum[row * nz + start + k] = (float)total[k]; }
    }
  }
}
