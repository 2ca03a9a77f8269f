// Series of volumes: conversion to the memory order of voxel kernels, and medians over volumes.
#include "tile.h"

#define VOXELS 64
#define VOLUMES 32
#define ROW (VOLUMES + 1)
#define SORTED 256

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

// Median over the volumes of each voxel, NaN if any value is NaN; `positive` is 1 if every value is positive. The
// largest values are sorted to the end of `planes` until the middle ones are known.
KERNEL(series_median,
       (float* RESTRICT planes, float* RESTRICT median, u8* RESTRICT positive, Index volumes, Index n),
       (planes, median, positive, volumes, n)) {
  FOR_TILES(tile, (n + SORTED - 1) / SORTED) {
    Index x0 = tile * SORTED, middle = (volumes - 1) / 2;
    int mx = (int)(n - x0 < SORTED ? n - x0 : SORTED);
    TILE_FOR(i, mx) {
      median[x0 + i] = 0.0f;
      positive[x0 + i] = 1;
    }
    for (Index v = 0; v < volumes; ++v)
      TILE_FOR(i, mx) {
        float value = planes[v * n + x0 + i];
        median[x0 + i] = value != value ? value : median[x0 + i];
        positive[x0 + i] &= value > 0.0f;
      }
    for (Index last = volumes - 1; last >= middle; --last)
      for (Index v = 0; v < last; ++v)
        TILE_FOR(i, mx) {
          float a = planes[v * n + x0 + i], b = planes[(v + 1) * n + x0 + i];
          planes[v * n + x0 + i] = a < b ? a : b;
          planes[(v + 1) * n + x0 + i] = a < b ? b : a;
        }
    TILE_FOR(i, mx) {
      float low = planes[middle * n + x0 + i], high = planes[volumes / 2 * n + x0 + i];
      median[x0 + i] = median[x0 + i] != median[x0 + i] ? median[x0 + i] : 0.5f * (low + high);
    }
  }
}
