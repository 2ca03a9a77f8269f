// Detection of implausible voxels in a field map.
#include "tile.h"

FN int differs(float a, float b, float limit) { return fabs1(a - b) > limit; }

// kept = 1 if the field differs by more than the limit from less than half of the face neighbours in the mask. The
// limit is rim_limit for voxels with a neighbour outside the mask, else inner_limit.
KERNEL(field_jumps,
       (const float* RESTRICT field, const u8* RESTRICT mask, u8* RESTRICT kept, float rim_limit,
        float inner_limit, Index nx, Index ny, Index nz),
       (field, mask, kept, rim_limit, inner_limit, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
    Index x = row / ny, y = row % ny, start = row * nz;
    // A row outside the volume is replaced by this row and does not count.
    int has[4] = {x > 0, x + 1 < nx, y > 0, y + 1 < ny};
    Index offset[4] = {has[0] ? -ny * nz : 0, has[1] ? ny * nz : 0, has[2] ? -nz : 0, has[3] ? nz : 0};
    const float* f = field + start;
    const u8* m = mask + start;
    ROW_FOR(k, (int)nz) {
      Index before = k > 0 ? k - 1 : k, after = k + 1 < (int)nz ? k + 1 : k;
      int below = (k > 0) & m[before], above = (k + 1 < (int)nz) & m[after];
      int neighbours = below + above;
      for (int a = 0; a < 4; ++a) neighbours += has[a] & m[k + offset[a]];
      float limit = neighbours < 6 ? rim_limit : inner_limit;
      int jumps = (below & differs(f[k], f[before], limit)) + (above & differs(f[k], f[after], limit));
      for (int a = 0; a < 4; ++a) {
        jumps += has[a] & m[k + offset[a]] & differs(f[k], f[k + offset[a]], limit);
      }
      kept[start + k] = (u8)(m[k] & (2 * jumps < neighbours));
    }
  }
}
