// Joint non-local means of several components, shift by shift.
//
//   d2(i, j) = 1 / (C |P|) sum_c sum_p q_c(i+p) (g_c(i+p) - g_c(j+p))^2        p over the patch
//   w(i, j)  = 2^-t, t = 2 max(0, scale C |P| d2 - offset)    j over the search window
//   w(i, j) = 0 where it is less than `least`
//   out_c(i) = (w_0 v_c(i) + sum_j w(i, j) m(j) v_c(j)) / (w_0 + sum_j w(i, j) m(j)),   j other than i
//
// For one shift s = j - i the squared differences of a plane are summed over the patch axis by axis in
// scratch, so a pair of voxels costs three short sums whatever its patch holds. Sums are taken anew for
// every voxel, never carried along a row: a voxel's bytes do not depend on the tile it lies in.
// Components go in blocks of up to four, each a loop of its own that the compiler vectorises.
#include "vmath.h"

#define BLOCK 4
#define MAX_RADIUS 3
#define DEPTH 24
#define ROWS 8
#define COLUMNS TILE_PICK(160, 32)
#define STRIDE TILE_PICK(184, 40)
#define PLANE (ROWS * STRIDE)

// 2^-t for 0 <= t <= 120, relative error <= 3e-7: -t = n + r, 2^r by a minimax polynomial, n into the exponent.
// Subtracting from 1.5 2^23 rounds to the nearest integer and leaves it in the low bits.
FN float exp2_minus(float t) {
  float shifted = 12582912.0f - t;
  float r = (12582912.0f - shifted) - t;
  float p = 0.00961801f + r * 0.00133336f;
  p = 0.24022650f + r * (0.05550344f + r * p);
  p = 1.0f + r * (0.69314718f + r * p);
  return bits_float(float_bits(p) + (int)((unsigned)float_bits(shifted) << 23));
}

struct Block {
  const float* at;  // voxel (0, 0, 0) of the rows in the block's first component
  Index next;  // distance to the next component
};

// d (+)= sum_b q_b (g_b(i) - g_b(i + shift))^2 over the components of a block.
template <int N, bool FIRST, bool MAPPED>
FN void square_differences(float* d, Block g, Block q, Index shift, Index row, int rows, int width) {
  TILE_FOR2(j, i, rows, width) {
    Index at = j * row + i;
    float sum = FIRST ? 0.0f : d[j * STRIDE + i];
    for (int b = 0; b < N; ++b) {
      float step = g.at[b * g.next + at] - g.at[b * g.next + at + shift];
      sum += MAPPED ? q.at[b * q.next + at] * (step * step) : step * step;
    }
    d[j * STRIDE + i] = sum;
  }
}

template <bool FIRST, bool MAPPED>
FN void square_block(int n, float* d, Block g, Block q, Index shift, Index row, int rows, int width) {
  if (n == 1) square_differences<1, FIRST, MAPPED>(d, g, q, shift, row, rows, width);
  if (n == 2) square_differences<2, FIRST, MAPPED>(d, g, q, shift, row, rows, width);
  if (n == 3) square_differences<3, FIRST, MAPPED>(d, g, q, shift, row, rows, width);
  if (n == 4) square_differences<4, FIRST, MAPPED>(d, g, q, shift, row, rows, width);
}

// out(i) = sum over k = 0..2R of in(i + k step).
template <int R>
FN void box(float* out, const float* in, int step, int rows, int width) {
  TILE_FOR2(j, i, rows, width) {
    const float* from = in + j * STRIDE + i;
    float sum = from[0];
    for (int k = 1; k <= 2 * R; ++k) sum += from[k * step];
    out[j * STRIDE + i] = sum;
  }
}

FN void box_of(int radius, float* out, const float* in, int step, int rows, int width) {
  if (radius == 0) box<0>(out, in, step, rows, width);
  if (radius == 1) box<1>(out, in, step, rows, width);
  if (radius == 2) box<2>(out, in, step, rows, width);
  if (radius == 3) box<3>(out, in, step, rows, width);
}

struct Rule {
  float scale, offset, least;
};

// Weights of a plane from the 2R + 1 planes of sums around it; `first` is the slot of the lowest one.
template <int R>
FN void weigh(float* w, const float* ring, int first, Rule rule, const float* candidate, Index row,
              float* total, Index out_row, int rows, int width) {
  TILE_FOR2(j, i, rows, width) {
    float sum = 0.0f;
    for (int k = 0; k <= 2 * R; ++k) sum += ring[(first + k) % (2 * R + 1) * PLANE + j * STRIDE + i];
    float half = sum * rule.scale - rule.offset;
    float weight = exp2_minus(fmin2(half + fabs1(half), 120.0f));  // h + |h| = 2 max(h, 0)
    weight = (weight < rule.least ? 0.0f : weight) * candidate[j * row + i];
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

struct Volume {
  Index y, x, next;  // distances between rows, planes and components
};

// Joint non-local means of `values` v with weights from `guide` g (see the top of the file).
//
// guide, values, candidate, precision are padded: voxel (0, 0, 0) lies at (margin_x, margin_y, margin_z), margin
// = search + patch radius; after each row of nz + 2 margin_z lie 7 voxels more. candidate m: weight of a voxel
// as candidate, 0 outside image and mask. precision q: one map for all components, one for each, or none
// (q = 1). mask: voxels to filter; 0 elsewhere.
// filtered: result; total: sum of the weights, w_0 among them; peak: largest weight but w_0.
// self_peak: w_0 is 1 (0), or the largest other weight (1), 1 where every other weight is 0.
KERNEL(nlm,
       (const float* RESTRICT guide, const float* RESTRICT values, const float* RESTRICT precision,
        const float* RESTRICT candidate, const u8* RESTRICT mask, float* RESTRICT filtered,
        float* RESTRICT total, float* RESTRICT peak, float scale, float offset, float least, int search_x,
        int search_y, int search_z, int patch_x, int patch_y, int patch_z, int self_peak, Index components,
        Index px, Index py, Index pz, Index maps, Index nx, Index ny, Index nz),
       (guide, values, precision, candidate, mask, filtered, total, peak, scale, offset, least, search_x,
        search_y, search_z, patch_x, patch_y, patch_z, self_peak, components, px, py, pz, maps, nx, ny, nz)) {
  TILE_SHARED(float, squares, (ROWS + 2 * MAX_RADIUS) * STRIDE);
  TILE_SHARED(float, columns, PLANE);
  TILE_SHARED(float, ring, (2 * MAX_RADIUS + 1) * PLANE);
  TILE_SHARED(float, weights, PLANE);
  TILE_SHARED(int, filled, ROWS);
  Volume in = {pz, py * pz, px * py * pz}, out = {nz, ny * nz, nx * ny * nz};
  Index tiles_y = (ny + ROWS - 1) / ROWS, tiles_z = (nz + COLUMNS - 1) / COLUMNS;
  Rule rule = {scale, offset, least};
  int count = (int)components, slots = 2 * patch_x + 1;
  FOR_TILES(tile, (nx + DEPTH - 1) / DEPTH * tiles_y * tiles_z) {
    Index x0 = tile / (tiles_y * tiles_z) * DEPTH, y0 = tile / tiles_z % tiles_y * ROWS;
    Index z0 = tile % tiles_z * COLUMNS, origin = (x0 * ny + y0) * nz + z0;
    int depth = (int)(nx - x0 < DEPTH ? nx - x0 : DEPTH), rows = (int)(ny - y0 < ROWS ? ny - y0 : ROWS);
    int width = (int)(nz - z0 < COLUMNS ? nz - z0 : COLUMNS);
    int wide = (width + 2 * patch_z + 7) / 8 * 8;  // whole vectors
    // the tile's first voxel in the padded arrays
    Index corner =
        (x0 + search_x + patch_x) * in.x + (y0 + search_y + patch_y) * in.y + z0 + search_z + patch_z;
    TILE_FOR(j, rows) {
      int any = 0;
      for (Index k = 0; k < depth * (Index)width; ++k)
        any |= mask[origin + k / width * out.x + j * out.y + k % width];
      filled[j] = any;
    }
    for (int x = 0; x < depth; ++x) {
      for (int c = 0; c < count; ++c) {
        float* plane = filtered + c * out.next + origin + x * out.x;
        TILE_FOR2(j, i, rows, width) plane[j * out.y + i] = 0.0f;
      }
      float *sum = total + origin + x * out.x, *most = peak + origin + x * out.x;
      TILE_FOR2(j, i, rows, width) {
        sum[j * out.y + i] = 0.0f;
        most[j * out.y + i] = 0.0f;
      }
    }
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
          if (c == 0 && maps == 0) square_block<true, false>(n, squares, g, q, shift, in.y, high, wide);
          if (c == 0 && maps > 0) square_block<true, true>(n, squares, g, q, shift, in.y, high, wide);
          if (c > 0 && maps == 0) square_block<false, false>(n, squares, g, q, shift, in.y, high, wide);
          if (c > 0 && maps > 0) square_block<false, true>(n, squares, g, q, shift, in.y, high, wide);
        }
        TILE_SYNC();
        box_of(patch_y, columns, squares, STRIDE, rows, wide);
        TILE_SYNC();
        box_of(patch_z, ring + (x + patch_x) % slots * PLANE, columns, 1, rows, width);
        if (x < patch_x) continue;
        int centre = x - patch_x;  // planes centre - patch_x .. centre + patch_x lie in the ring
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
      TILE_SYNC();
    }
    for (int x = 0; x < depth; ++x) {
      Index own = origin + x * out.x, at = corner + x * in.x;
      TILE_FOR2(j, i, rows, width) {
        Index k = own + j * out.y + i;
        float self = self_peak && peak[k] > 0.0f ? peak[k] : 1.0f, sum = total[k] + self;
        float inverse = 1.0f / sum;
        for (int c = 0; c < count; ++c) {
          float mean = (filtered[c * out.next + k] + self * values[c * in.next + at + j * in.y + i]) * inverse;
          filtered[c * out.next + k] = mask[k] ? mean : 0.0f;
        }
        total[k] = mask[k] ? sum : 0.0f;
      }
    }
    TILE_SYNC();
  }
}
