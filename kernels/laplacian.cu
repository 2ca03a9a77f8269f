// Laplacian of the unwrapped phase, computed from the wrapped phase.
#include "vmath.h"

// Wrapped step from a voxel to a neighbour; 0 unless both exist and lie in the mask.
FN float inner_step(const float* p, const u8* mask, int k, Index offset, int exists) {
  const float* q = p + offset;
  const u8* inside = mask + offset;
  float step = wrap(q[k] - p[k]);
  return (exists & mask[k] & inside[k]) != 0 ? step : 0.0f;
}

// Sum over the six face neighbours in the mask of the wrapped step to them, times 1 / h^2 of the axis [mm^-2]; 0
// outside the mask. This is the 7-point Laplacian with zero gradient across the surface of the mask.
KERNEL(wrapped_laplacian,
       (const float* RESTRICT phase, const u8* RESTRICT mask, float* RESTRICT laplacian, float wx, float wy,
        float wz, Index nx, Index ny, Index nz),
       (phase, mask, laplacian, wx, wy, wz, nx, ny, nz)) {
  FOR_TILES(row, nx * ny) {
    const float* p = phase + row * nz;
    const u8* inside = mask + row * nz;
    float* out = laplacian + row * nz;
    Index y = row % ny;
    int left = row >= ny, right = row + ny < nx * ny, front = y > 0, back = y + 1 < ny;
    Index to_left = left ? -ny * nz : 0, to_right = right ? ny * nz : 0;
    Index to_front = front ? -nz : 0, to_back = back ? nz : 0;
    TILE_FOR(k, (int)nz) {
      out[k] = wx * (inner_step(p, inside, k, to_left, left) + inner_step(p, inside, k, to_right, right)) +
               wy * (inner_step(p, inside, k, to_front, front) + inner_step(p, inside, k, to_back, back));
    }
    TILE_SYNC();
    TILE_FOR(k, (int)nz - 2) {
      out[k + 1] += wz * (inner_step(p, inside, k + 1, -1, 1) + inner_step(p, inside, k + 1, 1, 1));
    }
    TILE_FOR(end, nz > 1 ? 2 : 0) {
      int k = end ? (int)nz - 1 : 0;
      out[k] += wz * inner_step(p, inside, k, end ? -1 : 1, 1);
    }
  }
}
