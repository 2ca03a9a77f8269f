// Kernels with one mistake each: the tests show that the sanitizer builds see them.
#include "tile.h"

// No TILE_SYNC between writing the scratch and reading the neighbour's part of it.
KERNEL(missing_sync, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  TILE_SHARED(float, row, 512);
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { row[i] = x[t * n + i]; }
    TILE_FOR(i, (int)n) { y[t * n + i] = row[n - 1 - i]; }
    TILE_SYNC();
  }
}

// Every voxel also writes its neighbour's result.
KERNEL(touching_voxels, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_VOXELS(i, rows * n) {
    y[i] = x[i];
    y[(i + 1) % (rows * n)] = x[i];
  }
}

// Reads one element past the end of each row, so past the end of the array for the last.
KERNEL(past_the_end, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { y[t * n + i] = x[t * n + i + 1]; }
  }
}

// No LANE_SYNC between writing a lane's number and reading its neighbour's.
KERNEL(missing_lane_sync, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  JOINED(float, own, 1);
  FOR_TILES(t, rows * n) {
    FOR_LANES(l) OF(own, 0, l) = x[t] + (float)l;
    FOR_LANES(l) {
      if (l == 3) y[t] = BESIDE(own, 0, l, 1);
    }
    TILE_SYNC();
  }
}
