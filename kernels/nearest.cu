// Nearest known voxel of every voxel in a gap, axis by axis; exact for distances in voxels.
//
// source[i] is the index of the voxel nearest to i among those along the axes processed so far, square[i] its squared
// distance; source is -1 if there is none. Among equally distant voxels the one with the lowest z wins, then lowest
// y, then lowest x. Gaps are enclosed by known voxels: every voxel nearer to a gap voxel than its nearest known voxel
// lies in the same gap. Voxels that are neither known nor in a gap are therefore skipped.
#include "tile.h"

// One axis: the best source among those of all voxels on the line through each gap voxel.
KERNEL(nearest_along,
       (const u8* RESTRICT gap, const int* RESTRICT source, const int* RESTRICT square, int* RESTRICT found,
        int* RESTRICT distance, int axis, Index nx, Index ny, Index nz),
       (gap, source, square, found, distance, axis, nx, ny, nz)) {
  Index stride = axis == 0 ? ny * nz : axis == 1 ? nz : 1;
  int length = (int)(axis == 0 ? nx : axis == 1 ? ny : nz);
  FOR_ROWS(row, nx * ny) {
    ROW_FOR(k, (int)nz) {
      Index i = row * nz + k;
      int best = source[i], least = best < 0 ? 0x7fffffff : square[i];
      int place = axis == 0 ? (int)(row / ny) : axis == 1 ? (int)(row % ny) : k;
      int last = gap[i] == 0 ? 0 : place > length - 1 - place ? place : length - 1 - place;
      for (int d = 1; d <= last && d * d <= least; ++d) {
        Index before = place >= d ? i - d * stride : i, behind = place + d < length ? i + d * stride : i;
        int s = source[before], t = d * d + square[before];
        if (before != i && s >= 0 && t <= least) best = s, least = t;
        s = source[behind], t = d * d + square[behind];
        if (behind != i && s >= 0 && t < least) best = s, least = t;
      }
      found[i] = best;
      distance[i] = best < 0 ? 0 : least;
    }
  }
}
