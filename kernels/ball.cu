// Exact erosion of a mask by a ball, axis by axis, on bytes.
//
// The ball is a table: a voxel outside the mask removes the voxels at offset (dx, dy, dz) with
// |dz| < width[|dy|][|dx|]. `width` must not increase with |dx| or |dy|. The image border removes nothing.
#include "tile.h"

#define LINE 256
#define REACH 254  // largest distance that a byte can hold; 255 means none

// gap = distance along z [voxels] to the nearest voxel outside the mask, up to `reach`; 255 if there is none.
KERNEL(ball_gaps, (const u8* RESTRICT mask, u8* RESTRICT gap, int reach, Index nx, Index ny, Index nz),
       (mask, gap, reach, nx, ny, nz)) {
  TILE_SHARED(u8, line, LINE + 2 * REACH);
  FOR_TILES(row, nx * ny) {
    for (Index start = 0; start < nz; start += LINE) {
      int width = nz - start < LINE ? (int)(nz - start) : LINE;
      Index first = row * nz;
      TILE_FOR(k, width + 2 * reach) {
        Index z = start - reach + k;
        line[k] = z < 0 || z >= nz || mask[first + z] != 0;
      }
      TILE_SYNC();
      TILE_FOR(k, width) { gap[first + start + k] = line[reach + k] != 0 ? 255 : 0; }
      for (int d = 1; d <= reach; ++d) {
        TILE_FOR(k, width) {
          u8 near = line[reach + k - d] & line[reach + k + d] ? 255 : (u8)d;
          u8 found = gap[first + start + k];
          gap[first + start + k] = near < found ? near : found;
        }
      }
      TILE_SYNC();
    }
  }
}

// taken = number of offsets dx = 0, 1, .. along x that some voxel outside the mask, in this plane of y and z,
// removes.
KERNEL(ball_planes,
       (const u8* RESTRICT gap, const u8* RESTRICT width, u8* RESTRICT taken, Index nx, Index ny, Index nz,
        Index wy, Index wx),
       (gap, width, taken, nx, ny, nz, wy, wx)) {
  TILE_SHARED(u8, count, LINE);
  FOR_TILES(row, nx * ny) {
    Index iy = row % ny, reach = wy - 1;
    Index low = iy < reach ? -iy : -reach, high = ny - 1 - iy < reach ? ny - 1 - iy : reach;
    for (Index start = 0; start < nz; start += LINE) {
      int n = nz - start < LINE ? (int)(nz - start) : LINE;
      u8* out = taken + row * nz + start;
      TILE_FOR(k, n) { out[k] = 0; }
      for (Index dy = low; dy <= high; ++dy) {
        const u8* there = gap + (row + dy) * nz + start;
        const u8* w = width + (dy < 0 ? -dy : dy) * wx;
        TILE_FOR(k, n) { count[k] = 0; }
        for (Index dx = 0; dx < wx && w[dx] > 0; ++dx) {
          u8 limit = w[dx];
          TILE_FOR(k, n) { count[k] = (u8)(count[k] + (there[k] < limit)); }
        }
        TILE_FOR(k, n) { out[k] = count[k] > out[k] ? count[k] : out[k]; }
      }
    }
  }
}

// kept = 1 if no plane within reach along x removes the voxel, else 0.
KERNEL(ball_keep, (const u8* RESTRICT taken, u8* RESTRICT kept, int reach, Index nx, Index ny, Index nz),
       (taken, kept, reach, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
    Index ix = row / ny;
    int low = ix < reach ? -(int)ix : -reach, high = nx - 1 - ix < reach ? (int)(nx - 1 - ix) : reach;
    u8* out = kept + row * nz;
    ROW_FOR(k, (int)nz) { out[k] = 1; }
    for (int dx = low; dx <= high; ++dx) {
      const u8* there = taken + (row + dx * ny) * nz;
      u8 far = (u8)(dx < 0 ? -dx : dx);
      ROW_FOR(k, (int)nz) { out[k] = there[k] > far ? 0 : out[k]; }
    }
  }
}
