// Series of volumes: bringing them into the order that voxel kernels read.
#include "tile.h"

#define VOXELS 64
#define VOLUMES 32
#define ROW (VOLUMES + 1)

// planes[v][i] = series[i][v]: from volume fastest to voxel fastest.
KERNEL(series_to_planes, (const float* RESTRICT series, float* RESTRICT planes, Index n, Index volumes),
       (series, planes, n, volumes)) {
  TILE_SHARED(float, block, VOXELS* ROW);
  Index groups = (volumes + VOLUMES - 1) / VOLUMES;
  FOR_TILES(tile, (n + VOXELS - 1) / VOXELS * groups) {
    Index x0 = tile / groups * VOXELS, v0 = tile % groups * VOLUMES;
    int mx = (int)(n - x0 < VOXELS ? n - x0 : VOXELS),
        mv = (int)(volumes - v0 < VOLUMES ? volumes - v0 : VOLUMES);
    TILE_FOR2(j, i, mx, mv) { block[j * ROW + i] = series[(x0 + j) * volumes + v0 + i]; }
    TILE_SYNC();
    TILE_FOR2(i, j, mv, mx) { planes[(v0 + i) * n + x0 + j] = block[j * ROW + i]; }
    TILE_SYNC();
  }
}
