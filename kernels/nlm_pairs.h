// Rows of nlm_pairs.cu: sums of squared differences over patches, weights, and weighted sums of both voxels of
// a pair.
#pragma once
#include "nlm.h"

#define MAX_SEARCH 15
#define DEPTH TILE_PICK(48, 8)
#define ROWS TILE_PICK(32, 4)
#define COLUMNS TILE_PICK(160, 32)
#define STRIDE TILE_PICK(208, 80)
#define BAND TILE_PICK(8, 2)
#define PLANE (BAND * STRIDE)
#define GROUP TILE_PICK(6, 1)
#define GROUPS 2
#define RING TILE_PICK(24, 6)
#define TRIPLE 3
#define MOST_PLANES (DEPTH + 2 * MAX_SEARCH)
#define MOST_ROWS (ROWS + 2 * MAX_SEARCH)
#define LINE (STRIDE + 4 * STRIP)

// 2^-t for 0 <= t <= 120, relative error <= 3e-6, which is below the rounding of a sum over a window.
FN Strip power(Strip t) {
  Strip shifted = t + strip_of(12582912.0f);  // rounds to the nearest integer and leaves it in the low bits
  Strip r = (shifted - strip_of(12582912.0f)) - t;
  Strip p = strip_of(0.05590642f) + r * strip_of(0.00958285f);
  p = strip_of(0.24024099f) + r * p;
  p = strip_of(1.0f) + r * (strip_of(0.69312419f) + r * p);
  return bits_strip(strip_bits(p) - (strip_bits(shifted) << 23));
}

// Columns of a tile, whole strips.
struct Span {
  int from, to;
};

FN int least(int a, int b) { return a < b ? a : b; }
FN int most_of(int a, int b) { return a > b ? a : b; }
FN int floor_strip(int i) { return (i + 1024 * STRIP) / STRIP * STRIP - 1024 * STRIP; }
FN Span whole_strips(int from, int to) { return {floor_strip(from), floor_strip(to + STRIP - 1)}; }

// Shifts (x, y, z + k) for k < count.
struct Shifts {
  int x, y, z, count;
};

// Ring of planes with sums over y; `head` is the oldest one.
struct Ring {
  float* planes;
  int slots, head;
};

// sums_k(i) = sum over the patch, but for its extent along z, of the squared differences from i to i + shift +
// k, for K shifts and `rows` rows: over 2R + 1 rows, and over the planes of the ring (2 if PAIR) and this one.
template <int N, int K, int R, bool PAIR>
FN_APART void sum_squares(float* sums, Ring ring, const float* own, Index shift, Volume v, int count, int rows,
                          Span span, Index ahead) {
  int slots = PAIR ? 2 : ring.slots, components = N > 0 ? N : count;
  TILE_STRIPS(i, span.from, span.to) {
    Strip past[2 * R + 1][K] = {};
    const float* at = own + i;
    for (int r = -2 * R; r < rows; ++r, at += v.y) {
      Strip square[K] = {};
      for (int c = 0; c < components; ++c) {
        Strip mine = strip_at(at + c * v.next);
        if (ahead) FETCH_EARLY(at + c * v.next + shift + ahead);
        for (int k = 0; k < K; ++k) {
          Strip step = mine - strip_at(at + c * v.next + shift + k);
          square[k] += step * step;
        }
      }
      for (int k = 0; k < K && r >= 0; ++k) {
        Strip fresh = R > 0 ? past[0][k] : square[k];
        for (int m = 1; m < 2 * R; ++m) fresh += past[m][k];
        if (R > 0) fresh += square[k];
        float* oldest = ring.planes + (k * slots + ring.head) * PLANE + r * STRIDE + i;
        Strip sum = fresh;
        if (slots > 0) {
          sum = strip_at(oldest);
          for (int m = 1; m < slots; ++m)
            sum += strip_at(oldest + (ring.head + m < slots ? m : m - slots) * PLANE);
          sum += fresh;
          put_strip(oldest, fresh);
        }
        put_strip(sums + k * PLANE + r * STRIDE + i, sum);
      }
      for (int k = 0; k < K; ++k) {
        for (int m = 0; m + 1 < 2 * R; ++m) past[m][k] = past[m + 1][k];
        if (R > 0) past[2 * R - 1][k] = square[k];
      }
    }
  }
}

template <int K>
FN void sum_patches(int radius, float* sums, Ring ring, const float* own, Index shift, Volume v, int count,
                    int rows, Span span, Index ahead) {
  if (radius == 1 && ring.slots == 2) {
    if (count == 1) sum_squares<1, K, 1, true>(sums, ring, own, shift, v, count, rows, span, ahead);
    if (count == 2) sum_squares<2, K, 1, true>(sums, ring, own, shift, v, count, rows, span, ahead);
    if (count > 2) sum_squares<0, K, 1, true>(sums, ring, own, shift, v, count, rows, span, ahead);
  } else {
    if (radius == 0) sum_squares<0, K, 0, false>(sums, ring, own, shift, v, count, rows, span, ahead);
    if (radius == 1) sum_squares<0, K, 1, false>(sums, ring, own, shift, v, count, rows, span, ahead);
    if (radius == 2) sum_squares<0, K, 2, false>(sums, ring, own, shift, v, count, rows, span, ahead);
    if (radius == 3) sum_squares<0, K, 3, false>(sums, ring, own, shift, v, count, rows, span, ahead);
  }
}

// All shifts of a group, TRIPLE at a time; the first ones fetch the plane `ahead` for all.
FN void sum_group(int radius, float* sums, Ring ring, const float* own, Index shift, Volume v, int count,
                  int rows, Span span, int shifts, Index ahead) {
  for (int k = 0; k < shifts; k += TRIPLE) {
    Ring part = {ring.planes + k * ring.slots * PLANE, ring.slots, ring.head};
    float* to = sums + k * PLANE;
    Index fetched = k == 0 ? ahead : 0;
    if (shifts - k == 1) sum_patches<1>(radius, to, part, own, shift + k, v, count, rows, span, fetched);
    if (shifts - k == 2) sum_patches<2>(radius, to, part, own, shift + k, v, count, rows, span, fetched);
    if (shifts - k >= 3) sum_patches<3>(radius, to, part, own, shift + k, v, count, rows, span, fetched);
  }
}

struct Sums {
  float *filtered, *total, *peak;  // a row of the tile
  Index next;
  int count, self_peak;
};

// Weights of a row for the shifts of a group from sums over x and y of its patches; `reach` is the largest sum
// with a weight, of voxel i and, at distance `shift`, of the others. Adds what the N first components of voxel
// i receive.
template <int N, int R, bool FLAT>
FN_APART void weigh(float* w, const float* sums, const float* reach, const float* values, Index shift,
                    Index next, int shifts, Rule rule, Sums to, Span span) {
  Strip scale = strip_of(rule.scale), offset = strip_of(rule.offset);
  TILE_STRIPS(i, span.from, span.to) {
    Strip total = strip_at(to.total + i), own = strip_at(reach + i), sum[N];
    for (int c = 0; c < N; ++c) sum[c] = strip_at(to.filtered + c * to.next + i);
    const float *difference = sums + i, *limit = reach + shift + i, *value = values + shift + i;
    float* kept = w + i;
    for (int k = 0; k < shifts; ++k, difference += PLANE, ++limit, ++value, kept += LINE) {
      Strip d = strip_at(difference);
      for (int m = 1; m <= 2 * R; ++m) d += strip_at(difference + m);
      Strip t = d * scale;
      if (!FLAT) t = strip_of(0.0f) < t - offset ? t - offset : strip_of(0.0f);
      Strip weight = strip_where(d <= lesser(own, strip_at(limit)), power(t));
      put_strip(kept, weight);
      total += weight;
      for (int c = 0; c < N; ++c) sum[c] += weight * strip_at(value + c * next);
    }
    put_strip(to.total + i, total);
    for (int c = 0; c < N; ++c) put_strip(to.filtered + c * to.next + i, sum[c]);
  }
}

template <int N, int R>
FN void weigh_rule(float* w, const float* sums, const float* reach, const float* values, Index shift,
                   Index next, int shifts, Rule rule, Sums to, Span span) {
  if (rule.offset == 0.0f) weigh<N, R, true>(w, sums, reach, values, shift, next, shifts, rule, to, span);
  if (rule.offset != 0.0f) weigh<N, R, false>(w, sums, reach, values, shift, next, shifts, rule, to, span);
}

template <int N>
FN void weigh_patch(int radius, float* w, const float* sums, const float* reach, const float* values,
                    Index shift, Index next, int shifts, Rule rule, Sums to, Span span) {
  if (radius == 0) weigh_rule<N, 0>(w, sums, reach, values, shift, next, shifts, rule, to, span);
  if (radius == 1) weigh_rule<N, 1>(w, sums, reach, values, shift, next, shifts, rule, to, span);
  if (radius == 2) weigh_rule<N, 2>(w, sums, reach, values, shift, next, shifts, rule, to, span);
  if (radius == 3) weigh_rule<N, 3>(w, sums, reach, values, shift, next, shifts, rule, to, span);
}

FN void weigh_row(int radius, float* w, const float* sums, const float* reach, const float* values, Index shift,
                  Index next, int shifts, Rule rule, Sums to, Span span) {
  if (to.count == 1) weigh_patch<1>(radius, w, sums, reach, values, shift, next, shifts, rule, to, span);
  if (to.count == 2) weigh_patch<2>(radius, w, sums, reach, values, shift, next, shifts, rule, to, span);
  if (to.count == 3) weigh_patch<3>(radius, w, sums, reach, values, shift, next, shifts, rule, to, span);
  if (to.count >= 4) weigh_patch<4>(radius, w, sums, reach, values, shift, next, shifts, rule, to, span);
}

// out_c(i) += sum_k w_k(i + k turn) v_c(i + k step) for N components, and the same of the weights alone if
// FIRST.
template <int N, bool FIRST>
FN_APART void add_weighted(Sums to, const float* w, int turn, const float* values, int step, Index next,
                           int shifts, Span span) {
  TILE_STRIPS(i, span.from, span.to) {
    Strip total = FIRST ? strip_at(to.total + i) : strip_of(0.0f), sum[N];
    for (int c = 0; c < N; ++c) sum[c] = strip_at(to.filtered + c * to.next + i);
    const float *weights = w + i, *value = values + i;
    for (int k = 0; k < shifts; ++k, weights += LINE + turn, value += step) {
      Strip weight = strip_at(weights);
      if (FIRST) total += weight;
      for (int c = 0; c < N; ++c) sum[c] += weight * strip_at(value + c * next);
    }
    if (FIRST) put_strip(to.total + i, total);
    for (int c = 0; c < N; ++c) put_strip(to.filtered + c * to.next + i, sum[c]);
  }
}

// All components from the one numbered `first` on, and the largest weight.
FN void add_rest(int first, Sums to, const float* w, int turn, const float* values, int step, Index next,
                 int shifts, Span span) {
  for (int c = first; c < to.count; c += BLOCK) {
    Sums part = to;
    part.filtered += c * to.next;
    const float* v = values + c * next;
    int n = to.count - c;
    if (c == 0 && n == 1) add_weighted<1, true>(part, w, turn, v, step, next, shifts, span);
    if (c == 0 && n == 2) add_weighted<2, true>(part, w, turn, v, step, next, shifts, span);
    if (c == 0 && n == 3) add_weighted<3, true>(part, w, turn, v, step, next, shifts, span);
    if (c == 0 && n >= 4) add_weighted<4, true>(part, w, turn, v, step, next, shifts, span);
    if (c > 0 && n == 1) add_weighted<1, false>(part, w, turn, v, step, next, shifts, span);
    if (c > 0 && n == 2) add_weighted<2, false>(part, w, turn, v, step, next, shifts, span);
    if (c > 0 && n == 3) add_weighted<3, false>(part, w, turn, v, step, next, shifts, span);
    if (c > 0 && n >= 4) add_weighted<4, false>(part, w, turn, v, step, next, shifts, span);
  }
  if (!to.self_peak) return;
  TILE_STRIPS(i, span.from, span.to) {
    Strip most = strip_at(to.peak + i);
    for (int k = 0; k < shifts; ++k) most = -lesser(-most, -strip_at(w + k * (LINE + turn) + i));
    put_strip(to.peak + i, most);
  }
}
