// Joint non-local means for the case that the difference of two patches is symmetric, that is, without a noise map.
// Each pair of voxels is weighted once for both.
//
//   w(i, i + s) = w(i + s, i):   sum(i) += w v(i + s),   sum(i + s) += w v(i)
//
// s runs over half of the search window; up to GROUP shifts that are consecutive along a row are processed together.
// The weights of a shift are computed for the tile and for the tile moved by -s, so no tile writes to another, and
// the sums of a voxel run over the shifts in an order that does not depend on its tile. This halves the work on the
// distances at the price of a wider tile, and proceeds row by row, which suits the caches of a CPU. nlm.cu is the
// variant for GPUs.
#include "nlm.h"

#define MAX_SEARCH 15
#define DEPTH TILE_PICK(48, 8)
#define ROWS TILE_PICK(32, 4)
#define COLUMNS TILE_PICK(160, 32)
#define STRIDE TILE_PICK(184, 56)
#define PLANE ((ROWS + MAX_SEARCH) * STRIDE)
#define GROUP TILE_PICK(6, 1)
#define RING TILE_PICK(18, 7)

// d_k (+)= sum_b (g_b(i) - g_b(i + shift + k))^2 over the components of a block, for K shifts.
template <int N, int K, bool FIRST>
FN void square_row(float* d, Block g, Index shift, int width) {
  TILE_FOR(i, width) {
    float sum[K];
    for (int k = 0; k < K; ++k) sum[k] = FIRST ? 0.0f : d[k * STRIDE + i];
    for (int b = 0; b < N; ++b) {
      float own = g.at[b * g.next + i];
      for (int k = 0; k < K; ++k) {
        float step = own - g.at[b * g.next + shift + k + i];
        sum[k] += step * step;
      }
    }
    for (int k = 0; k < K; ++k) d[k * STRIDE + i] = sum[k];
  }
}

template <int K, bool FIRST>
FN void square_block(int n, float* d, Block g, Index shift, int width) {
  if (n == 1) square_row<1, K, FIRST>(d, g, shift, width);
  if (n == 2) square_row<2, K, FIRST>(d, g, shift, width);
  if (n == 3) square_row<3, K, FIRST>(d, g, shift, width);
  if (n == 4) square_row<4, K, FIRST>(d, g, shift, width);
}

template <int K>
FN void square_rows(float* d, const float* guide, Index next, int count, Index shift, int width) {
  for (int c = 0; c < count; c += BLOCK) {
    Block g = {guide + c * next, next};
    if (c == 0) square_block<K, true>(count < BLOCK ? count : BLOCK, d, g, shift, width);
    if (c > 0) square_block<K, false>(count - c < BLOCK ? count - c : BLOCK, d, g, shift, width);
  }
}

// fresh(i) = sum over the 2R + 1 rows in `sums`; slot `first` holds the lowest one.
template <int R>
FN void sum_rows(float* fresh, const float* sums, int first, int width) {
  TILE_FOR(i, width) {
    float sum = 0.0f;
    for (int k = 0; k <= 2 * R; ++k) sum += sums[(first + k) % (2 * R + 1) * STRIDE + i];
    fresh[i] = sum;
  }
}

FN void sum_rows_of(int radius, float* fresh, const float* sums, int first, int width) {
  if (radius == 0) sum_rows<0>(fresh, sums, first, width);
  if (radius == 1) sum_rows<1>(fresh, sums, first, width);
  if (radius == 2) sum_rows<2>(fresh, sums, first, width);
  if (radius == 3) sum_rows<3>(fresh, sums, first, width);
}

// Weights of a row from the sums of the 2R + 1 rows around it, `step` apart; slot `first` holds the lowest one.
template <int R>
FN void weigh(float* w, const float* ring, int first, int step, Rule rule, const int* own, const int* other,
              int width) {
  TILE_FOR(i, width) {
    float sum = 0.0f;
    for (int k = 0; k <= 2 * R; ++k) sum += ring[(first + k) % (2 * R + 1) * step + i];
    w[i] = bits_float(weight_bits(sum, rule) & own[i] & other[i]);
  }
}

FN void weigh_by(int radius, float* w, const float* ring, int first, int step, Rule rule, const int* own,
                 const int* other, int width) {
  if (radius == 0) weigh<0>(w, ring, first, step, rule, own, other, width);
  if (radius == 1) weigh<1>(w, ring, first, step, rule, own, other, width);
  if (radius == 2) weigh<2>(w, ring, first, step, rule, own, other, width);
  if (radius == 3) weigh<3>(w, ring, first, step, rule, own, other, width);
}

// out_b(i) += sum_k w_k(i) v_b(i + k), or w_k(i - k) v_b(i - k) if BACK, over K consecutive shifts.
template <int N, int K, bool BACK>
FN void add_weighted(float* out, Index next, const float* w, Block v, int width) {
  TILE_FOR(i, width) {
    for (int b = 0; b < N; ++b) {
      float sum = out[b * next + i];
      for (int k = 0; k < K; ++k) {
        int at = BACK ? i - k : i;
        sum += w[k * STRIDE + at] * v.at[b * v.next + (BACK ? at : i + k)];
      }
      out[b * next + i] = sum;
    }
  }
}

template <int K, bool BACK>
FN void add_block(int n, float* out, Index next, const float* w, Block v, int width) {
  if (n == 1) add_weighted<1, K, BACK>(out, next, w, v, width);
  if (n == 2) add_weighted<2, K, BACK>(out, next, w, v, width);
  if (n == 3) add_weighted<3, K, BACK>(out, next, w, v, width);
  if (n == 4) add_weighted<4, K, BACK>(out, next, w, v, width);
}

struct Sums {
  float *filtered, *total, *peak;  // a row of the tile
  Index next;
  int count, self_peak;
};

// Adds K weights of each voxel of a row to its sums; the weights apply to the row `values`.
template <int K, bool BACK>
FN void add_row(Sums s, const float* w, const float* values, Index next, int width) {
  TILE_FOR(i, width) {
    float sum = s.total[i];
    for (int k = 0; k < K; ++k) sum += w[k * STRIDE + (BACK ? i - k : i)];
    s.total[i] = sum;
  }
  for (int c = 0; c < s.count; c += BLOCK) {
    Block v = {values + c * next, next};
    add_block<K, BACK>(s.count - c < BLOCK ? s.count - c : BLOCK, s.filtered + c * s.next, s.next, w, v, width);
  }
  if (!s.self_peak) return;
  TILE_FOR(i, width) {
    float most = s.peak[i];
    for (int k = 0; k < K; ++k) most = fmax2(most, w[k * STRIDE + (BACK ? i - k : i)]);
    s.peak[i] = most;
  }
}

template <bool BACK>
FN void add_rows(int n, Sums s, const float* w, const float* values, Index next, int width) {
  if (n == 1) add_row<1, BACK>(s, w, values, next, width);
  if (GROUP >= 2 && n == 2) add_row<2, BACK>(s, w, values, next, width);
  if (GROUP >= 3 && n == 3) add_row<3, BACK>(s, w, values, next, width);
  if (GROUP >= 4 && n == 4) add_row<4, BACK>(s, w, values, next, width);
  if (GROUP >= 5 && n == 5) add_row<5, BACK>(s, w, values, next, width);
  if (GROUP >= 6 && n == 6) add_row<6, BACK>(s, w, values, next, width);
}

// Arguments as in nlm.cu except for `candidate`: all bits set for candidates, none elsewhere.
KERNEL(nlm_pairs,
       (const float* RESTRICT guide, const float* RESTRICT values, const int* RESTRICT candidate,
        const u8* RESTRICT mask, float* RESTRICT filtered, float* RESTRICT total, float* RESTRICT peak,
        float scale, float offset, float most, int search_x, int search_y, int search_z, int patch_x,
        int patch_y, int patch_z, int self_peak, Index components, Index px, Index py, Index pz, Index nx,
        Index ny, Index nz),
       (guide, values, candidate, mask, filtered, total, peak, scale, offset, most, search_x, search_y,
        search_z, patch_x, patch_y, patch_z, self_peak, components, px, py, pz, nx, ny, nz)) {
  TILE_SHARED(float, squares, GROUP* STRIDE);
  TILE_SHARED(float, sums, GROUP * (2 * MAX_RADIUS + 1) * STRIDE);
  TILE_SHARED(float, ring, RING* PLANE);
  TILE_SHARED(float, weights, GROUP* STRIDE);
  TILE_SHARED(int, filled, ROWS);
  Volume in = {pz, py * pz, px * py * pz}, out = {nz, ny * nz, nx * ny * nz};
  Rule rule = {scale, offset, most};
  int count = (int)components, slots = 2 * patch_x + 1, slots_y = 2 * patch_y + 1;
  int together = RING / slots < GROUP ? RING / slots : GROUP;
  Index tiles = (nx + DEPTH - 1) / DEPTH * ((ny + ROWS - 1) / ROWS) * ((nz + COLUMNS - 1) / COLUMNS);
  FOR_TILES(number, tiles) {
    Tile t = tile_at(number, nx, ny, nz, DEPTH, ROWS, COLUMNS);
    Index origin = (t.x * ny + t.y) * nz + t.z;
    Index corner =
        (t.x + search_x + patch_x) * in.x + (t.y + search_y + patch_y) * in.y + t.z + search_z + patch_z;
    find_filled(filled, mask + origin, t, out);
    clear(filtered + origin, count, t, out);
    clear(total + origin, 1, t, out);
    clear(peak + origin, 1, t, out);
    TILE_SYNC();
    int any = 0;
    for (int j = 0; j < t.rows; ++j) any |= filled[j];
    int wide_y = 2 * search_y + 1, groups_z = (2 * search_z + together) / together;
    int groups = any ? (search_x + 1) * wide_y * groups_z : 0;
    for (int group = 0; group < groups; ++group) {
      int sx = group / (wide_y * groups_z), sy = group / groups_z % wide_y - search_y;
      int sz = group % groups_z * together - search_z;
      int end = sz + together < search_z + 1 ? sz + together : search_z + 1;
      if (sx == 0 && sy < 0) continue;
      if (sx == 0 && sy == 0 && sz < 1) sz = 1;
      int n = end - sz;
      if (n <= 0) continue;
      // rows and columns of weights that the tile needs, relative to its first ones
      int low_y = sy > 0 ? -sy : 0, high_y = sy < 0 ? t.rows - sy : t.rows;
      if (t.y + low_y < 0) low_y = (int)-t.y;
      if (t.y + high_y > ny) high_y = (int)(ny - t.y);
      int low_z = end > 1 ? 1 - end : 0, width = t.width - low_z + (sz < 0 ? -sz : 0);
      int wide = (width + 2 * patch_z + 7) / 8 * 8, whole = (width + 7) / 8 * 8;
      Index shift = sx * in.x + sy * in.y + sz, place = corner + low_y * in.y + low_z;
      for (int x = -sx - patch_x; x < t.depth + patch_x; ++x) {
        int slot = (x + sx + patch_x) % slots, centre = x - patch_x;
        for (int r = 0; r < high_y - low_y + 2 * patch_y; ++r) {
          const float* first = guide + place + x * in.x + (r - patch_y) * in.y - patch_z;
          if (n == 1) square_rows<1>(squares, first, in.next, count, shift, wide);
          if (GROUP >= 2 && n == 2) square_rows<2>(squares, first, in.next, count, shift, wide);
          if (GROUP >= 3 && n == 3) square_rows<3>(squares, first, in.next, count, shift, wide);
          if (GROUP >= 4 && n == 4) square_rows<4>(squares, first, in.next, count, shift, wide);
          if (GROUP >= 5 && n == 5) square_rows<5>(squares, first, in.next, count, shift, wide);
          if (GROUP >= 6 && n == 6) square_rows<6>(squares, first, in.next, count, shift, wide);
          TILE_SYNC();
          for (int k = 0; k < n; ++k)
            box_of(patch_z, sums + (k * slots_y + r % slots_y) * STRIDE, squares + k * STRIDE, STRIDE, 1, 1,
                   whole);
          TILE_SYNC();
          int j = r - 2 * patch_y, y = low_y + j, ahead = y + sy;
          if (j < 0) continue;
          int gathers = centre >= 0 && y >= 0 && y < t.rows;
          int scatters = centre >= -sx && centre + sx < t.depth && ahead >= 0 && ahead < t.rows;
          Index at = place + centre * in.x + j * in.y;
          for (int k = 0; k < n; ++k) {
            float* planes = ring + k * slots * PLANE + j * STRIDE;
            sum_rows_of(patch_y, planes + slot * PLANE, sums + k * slots_y * STRIDE, r + 1, whole);
            if (gathers || scatters)
              weigh_by(patch_x, weights + k * STRIDE, planes, centre + sx, PLANE, rule, candidate + at,
                       candidate + at + shift + k, whole);
          }
          TILE_SYNC();
          if (gathers) {
            Index to = origin + centre * out.x + y * out.y;
            Sums own = {filtered + to, total + to, peak + to, out.next, count, self_peak};
            add_rows<false>(n, own, weights - low_z, values + at - low_z + shift, in.next, t.width);
          }
          if (scatters) {
            Index to = origin + (centre + sx) * out.x + ahead * out.y;
            Sums own = {filtered + to, total + to, peak + to, out.next, count, self_peak};
            add_rows<true>(n, own, weights - low_z - sz, values + at - low_z - sz, in.next, t.width);
          }
        }
      }
      TILE_SYNC();
    }
    finish(filtered + origin, total + origin, peak + origin, values + corner, mask + origin, count, self_peak,
           t, out, in);
    TILE_SYNC();
  }
}
