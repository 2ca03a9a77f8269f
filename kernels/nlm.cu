// Joint non-local means of several components, shift by shift.
//
//   d2(i, j) = 1 / (C |P|) sum_c sum_p q_c(i+p) (g_c(i+p) - g_c(j+p))^2        p over the patch
//   w(i, j)  = 2^-t, t = max(0, scale C |P| d2 - offset)      j over the search window; 0 if t > `most`
//   out_c(i) = (w_0 v_c(i) + sum_j w(i, j) m(j) v_c(j)) / (w_0 + sum_j w(i, j) m(j)),   j other than i
#include "nlm.h"

#define DEPTH 24
#define ROWS 8
#define COLUMNS TILE_PICK(160, 32)
#define STRIDE TILE_PICK(184, 40)
#define PLANE (ROWS * STRIDE)

// Weights of a plane from the sums of the 2R + 1 planes around it; `first` is the slot of the lowest one.
template <int R>
FN void weigh(float* w, const float* ring, int first, Rule rule, const float* candidate, Index row,
              float* total, Index out_row, int rows, int width) {
  TILE_FOR2(j, i, rows, width) {
    float sum = 0.0f;
    for (int k = 0; k <= 2 * R; ++k) sum += ring[(first + k) % (2 * R + 1) * PLANE + j * STRIDE + i];
    float weight = bits_float(weight_bits(sum, rule)) * candidate[j * row + i];
    w[j * STRIDE + i] = weight;
    total[j * out_row + i] += weight;
  }
}

FN void weigh_by(int radius, float* w, const float* ring, int first, Rule rule, const float* candidate,
                 Index row, float* total, Index out_row, int rows, int width) {
  if (radius == 0) weigh<0>(w, ring, first, rule, candidate, row, total, out_row, rows, width);
  if (radius == 1) weigh<1>(w, ring, first, rule, candidate, row, total, out_row, rows, width);
  if (radius == 2) weigh<2>(w, ring, first, rule, candidate, row, total, out_row, rows, width);
  if (radius == 3) weigh<3>(w, ring, first, rule, candidate, row, total, out_row, rows, width);
}

// out_b += w v_b for the components of a block.
template <int N>
FN void add_weighted(float* out, Index out_next, const float* w, Block v, Index row, Index out_row, int rows,
                     int width) {
  TILE_FOR2(j, i, rows, width) {
    float weight = w[j * STRIDE + i];
    for (int b = 0; b < N; ++b) out[b * out_next + j * out_row + i] += weight * v.at[b * v.next + j * row + i];
  }
}

FN void add_block(int n, float* out, Index out_next, const float* w, Block v, Index row, Index out_row,
                  int rows, int width) {
  if (n == 1) add_weighted<1>(out, out_next, w, v, row, out_row, rows, width);
  if (n == 2) add_weighted<2>(out, out_next, w, v, row, out_row, rows, width);
  if (n == 3) add_weighted<3>(out, out_next, w, v, row, out_row, rows, width);
  if (n == 4) add_weighted<4>(out, out_next, w, v, row, out_row, rows, width);
}

// Joint non-local means of `values` v with weights from `guide` g (see the top of the file).
//
// guide, values, candidate, precision are padded: voxel (0, 0, 0) lies at (margin_x, margin_y, margin_z), margin =
// search + patch radius; each row of nz + 2 margin_z is followed by 12 more voxels. candidate m: weight of a voxel as
// a candidate, 0 outside image and mask. precision q: one map for all components, one per component, or none (q = 1).
// mask: voxels to filter; the result is 0 elsewhere.
// filtered: result; total: sum of the weights including w_0; peak: largest weight other than w_0.
// self_peak: w_0 is 1 (0), or the largest other weight (1), 1 if all other weights are 0.
KERNEL(nlm,
       (const float* RESTRICT guide, const float* RESTRICT values, const float* RESTRICT precision,
        const float* RESTRICT candidate, const u8* RESTRICT mask, float* RESTRICT filtered,
        float* RESTRICT total, float* RESTRICT peak, float scale, float offset, float most, int search_x,
        int search_y, int search_z, int patch_x, int patch_y, int patch_z, int self_peak, Index components,
        Index px, Index py, Index pz, Index maps, Index nx, Index ny, Index nz),
       (guide, values, precision, candidate, mask, filtered, total, peak, scale, offset, most, search_x,
        search_y, search_z, patch_x, patch_y, patch_z, self_peak, components, px, py, pz, maps, nx, ny, nz)) {
  TILE_SHARED(float, squares, (ROWS + 2 * MAX_RADIUS) * STRIDE);
  TILE_SHARED(float, columns, PLANE);
  TILE_SHARED(float, ring, (2 * MAX_RADIUS + 1) * PLANE);
  TILE_SHARED(float, weights, PLANE);
  TILE_SHARED(int, filled, ROWS);
  Volume in = {pz, py * pz, px * py * pz}, out = {nz, ny * nz, nx * ny * nz};
  Rule rule = {scale, offset, most};
  int count = (int)components, slots = 2 * patch_x + 1;
  Index tiles = (nx + DEPTH - 1) / DEPTH * ((ny + ROWS - 1) / ROWS) * ((nz + COLUMNS - 1) / COLUMNS);
  FOR_TILES(number, tiles) {
    Tile t = tile_at(number, nx, ny, nz, DEPTH, ROWS, COLUMNS);
    int depth = t.depth, rows = t.rows, width = t.width;
    int wide = (width + 2 * patch_z + 7) / 8 * 8;  // rounded up to whole vectors
    Index origin = (t.x * ny + t.y) * nz + t.z;
    // first voxel of the tile in the padded arrays
    Index corner =
        (t.x + search_x + patch_x) * in.x + (t.y + search_y + patch_y) * in.y + t.z + search_z + patch_z;
    find_filled(filled, mask + origin, t, out);
    clear(filtered + origin, count, t, out);
    clear(total + origin, 1, t, out);
    clear(peak + origin, 1, t, out);
    TILE_SYNC();
    int any = 0;
    for (int j = 0; j < rows; ++j) any |= filled[j];
    Index shifts_y = 2 * search_y + 1, shifts_z = 2 * search_z + 1;
    Index shifts = any ? (2 * search_x + 1) * shifts_y * shifts_z : 0;
    for (Index s = 0; s < shifts; ++s) {
      if (2 * s + 1 == shifts) continue;
      Index shift = (s / (shifts_y * shifts_z) - search_x) * in.x +
                    (s / shifts_z % shifts_y - search_y) * in.y + s % shifts_z - search_z;
      for (int x = -patch_x; x < depth + patch_x; ++x) {
        Index first = corner + x * in.x - patch_y * in.y - patch_z;
        for (int c = 0; c < count; c += BLOCK) {
          int n = count - c < BLOCK ? count - c : BLOCK, high = rows + 2 * patch_y;
          Block g = {guide + c * in.next + first, in.next};
          Block q = {precision + (maps > 1 ? c * in.next : 0) + first, maps > 1 ? in.next : 0};
          if (c == 0 && maps == 0) square_block<true, false>(n, squares, STRIDE, g, q, shift, in.y, high, wide);
          if (c == 0 && maps > 0) square_block<true, true>(n, squares, STRIDE, g, q, shift, in.y, high, wide);
          if (c > 0 && maps == 0) square_block<false, false>(n, squares, STRIDE, g, q, shift, in.y, high, wide);
          if (c > 0 && maps > 0) square_block<false, true>(n, squares, STRIDE, g, q, shift, in.y, high, wide);
        }
        TILE_SYNC();
        box_of(patch_y, columns, squares, STRIDE, STRIDE, rows, wide);
        TILE_SYNC();
        box_of(patch_z, ring + (x + patch_x) % slots * PLANE, columns, STRIDE, 1, rows, width);
        if (x < patch_x) continue;
        int centre = x - patch_x;  // the ring holds planes centre - patch_x .. centre + patch_x
        Index own = origin + centre * out.x, other = corner + centre * in.x + shift;
        weigh_by(patch_x, weights, ring, centre, rule, candidate + other, in.y, total + own, out.y, rows,
                 width);
        for (int c = 0; c < count; c += BLOCK) {
          Block v = {values + c * in.next + other, in.next};
          add_block(count - c < BLOCK ? count - c : BLOCK, filtered + c * out.next + own, out.next, weights, v,
                    in.y, out.y, rows, width);
        }
        if (self_peak) {
          float* most = peak + own;
          TILE_FOR2(j, i, rows, width) {
            most[j * out.y + i] = fmax2(most[j * out.y + i], weights[j * STRIDE + i]);
          }
        }
      }
    }
    finish(filtered + origin, total + origin, peak + origin, values + corner, mask + origin, count, self_peak,
           t, out, in);
    TILE_SYNC();
  }
}
