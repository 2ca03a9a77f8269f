// Kernels with known patterns of access; a warp of 32 lanes takes 32 numbers of x, one element a lane.
#include "tile.h"

KERNEL(side_by_side, (const float* x, float* y, Index n), (x, y, n)) {
  FOR_VOXELS(i, n) { y[i] = x[i]; }
}

KERNEL(shifted_by_one, (const float* x, float* y, Index n), (x, y, n)) {
  FOR_VOXELS(i, n) { y[i] = x[(i + 1) % n]; }
}

KERNEL(every_eighth, (const float* x, float* y, Index n), (x, y, n)) {
  FOR_VOXELS(i, n) { y[i] = x[i * 8 % n]; }
}

KERNEL(one_for_all, (const float* x, float* y, Index n), (x, y, n)) {
  FOR_VOXELS(i, n) { y[i] = x[n / 2]; }
}

KERNEL(by_columns, (const float* x, float* y, Index n), (x, y, n)) {
  TILE_SHARED(float, block, 32 * 32);
  FOR_TILES(t, n / 1024) {
    TILE_FOR2(j, i, 32, 32) { block[j * 32 + i] = x[t * 1024 + j * 32 + i]; }
    TILE_SYNC();
    TILE_FOR2(j, i, 32, 32) { y[t * 1024 + j * 32 + i] = block[i * 32 + j]; }
    TILE_SYNC();
  }
}

KERNEL(doubles, (const float* x, float* y, Index n), (x, y, n)) {
  TILE_SHARED(double, block, 256);
  FOR_TILES(t, n / 256) {
    TILE_FOR(i, 256) { block[i] = x[t * 256 + i]; }
    TILE_SYNC();
    TILE_FOR(i, 256) { y[t * 256 + i] = (float)block[255 - i]; }
    TILE_SYNC();
  }
}
