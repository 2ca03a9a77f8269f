// Shared by the variants of non-local means: differences, sums over patches, weights, and the final mean.
//
// For one shift s = j - i the squared differences of a plane are summed over the patch, axis by axis, in scratch
// memory, so a pair of voxels costs three short sums regardless of the size of its patch. Sums are recomputed for
// every voxel instead of being updated along a row, so the result of a voxel does not depend on its tile. Components
// are processed in blocks of up to four, each in a loop that the compiler vectorises.
#pragma once
#include "vmath.h"

#define BLOCK 4
#define MAX_RADIUS 3

// 2^-t for 0 <= t <= 120, relative error <= 3e-7: -t = n + r, 2^r by a minimax polynomial, n into the exponent.
// Subtraction from 1.5 2^23 rounds to the nearest integer and leaves it in the low bits.
FN float exp2_minus(float t) {
  float shifted = 12582912.0f - t;
  float r = (12582912.0f - shifted) - t;
  float p = 0.00961801f + r * 0.00133336f;
  p = 0.24022650f + r * (0.05550344f + r * p);
  p = 1.0f + r * (0.69314718f + r * p);
  return bits_float((int)((unsigned)float_bits(p) + ((unsigned)float_bits(shifted) << 23)));
}

// 2^-t by the fastest means of the machine: a GPU has an instruction for it, relative error <= 2e-7.
FN float power_minus(float t) { return TILE_PICK(exp2_minus(t), exp2f(-t)); }

// 2^-t for any t >= 0: 0 below 2^-119, on a GPU below its smallest number.
FN float power_or_nothing(float t) { return TILE_PICK(t <= 119.0f ? exp2_minus(t) : 0.0f, exp2f(-t)); }

struct Rule {
  float scale, offset, most;
};

// Bits of the weight of a pair of voxels whose patches differ by `sum`.
FN int weight_bits(float sum, Rule rule) {
  int t = float_bits(sum * rule.scale - rule.offset);
  t = t > 0 ? t : 0;  // integers order positive floats, and a negative float is a negative integer
  return t > float_bits(rule.most) ? 0 : float_bits(power_minus(bits_float(t)));
}

struct Block {
  const float* at;  // voxel (0, 0, 0) of the rows in the block's first component
  Index next;  // distance to the next component
};

// d (+)= sum_b q_b (g_b(i) - g_b(i + shift))^2 over the components of a block.
template <int N, bool FIRST, bool MAPPED>
FN void square_differences(float* d, int stride, Block g, Block q, Index shift, Index row, int rows,
                           int width) {
  TILE_FOR2(j, i, rows, width) {
    Index at = j * row + i;
    float sum = FIRST ? 0.0f : d[j * stride + i];
    for (int b = 0; b < N; ++b) {
      float step = g.at[b * g.next + at] - g.at[b * g.next + at + shift];
      sum += MAPPED ? q.at[b * q.next + at] * (step * step) : step * step;
    }
    d[j * stride + i] = sum;
  }
}

template <bool FIRST, bool MAPPED>
FN void square_block(int n, float* d, int stride, Block g, Block q, Index shift, Index row, int rows,
                     int width) {
  if (n == 1) square_differences<1, FIRST, MAPPED>(d, stride, g, q, shift, row, rows, width);
  if (n == 2) square_differences<2, FIRST, MAPPED>(d, stride, g, q, shift, row, rows, width);
  if (n == 3) square_differences<3, FIRST, MAPPED>(d, stride, g, q, shift, row, rows, width);
  if (n == 4) square_differences<4, FIRST, MAPPED>(d, stride, g, q, shift, row, rows, width);
}

// out(i) = sum over k = 0..2R of in(i + k step).
template <int R>
FN void box(float* out, const float* in, int stride, int step, int rows, int width) {
  TILE_FOR2(j, i, rows, width) {
    const float* from = in + j * stride + i;
    float sum = from[0];
    for (int k = 1; k <= 2 * R; ++k) sum += from[k * step];
    out[j * stride + i] = sum;
  }
}

FN void box_of(int radius, float* out, const float* in, int stride, int step, int rows, int width) {
  if (radius == 0) box<0>(out, in, stride, step, rows, width);
  if (radius == 1) box<1>(out, in, stride, step, rows, width);
  if (radius == 2) box<2>(out, in, stride, step, rows, width);
  if (radius == 3) box<3>(out, in, stride, step, rows, width);
}

struct Volume {
  Index y, x, next;  // distances between rows, planes and components
};

// Voxels of a tile: `depth` planes of `rows` rows of `width` voxels from (x, y, z).
struct Tile {
  Index x, y, z;
  int depth, rows, width;
};

// Tile `number` of the tiles that cover (nx, ny, nz); the last one along each axis ends with the volume.
FN Tile tile_at(Index number, Index nx, Index ny, Index nz, int depth, int rows, int columns) {
  Index tiles_y = (ny + rows - 1) / rows, tiles_z = (nz + columns - 1) / columns;
  Tile t;
  t.x = number / (tiles_y * tiles_z) * depth;
  t.y = number / tiles_z % tiles_y * rows;
  t.z = number % tiles_z * columns;
  t.depth = (int)(nx - t.x < depth ? nx - t.x : depth);
  t.rows = (int)(ny - t.y < rows ? ny - t.y : rows);
  t.width = (int)(nz - t.z < columns ? nz - t.z : columns);
  return t;
}

// found[j] = 1 if row j of the tile has voxels of the mask in any plane; `mask` points to the tile's first voxel.
FN void find_filled(int* found, const u8* mask, Tile t, Volume v) {
  TILE_FOR(j, t.rows) {
    int any = 0;
    for (Index k = 0; k < t.depth * (Index)t.width; ++k) any |= mask[k / t.width * v.x + j * v.y + k % t.width];
    found[j] = any;
  }
}

// Fill the tile of `count` components with zeros; `out` points to its first voxel.
FN void clear(float* out, int count, Tile t, Volume v) {
  for (int c = 0; c < count; ++c)
    for (int x = 0; x < t.depth; ++x) {
      float* plane = out + c * v.next + x * v.x;
      TILE_FOR2(j, i, t.rows, t.width) plane[j * v.y + i] = 0.0f;
    }
}

// Weighted means of a tile from its weighted sums and the voxels' own values; 0 outside the mask. `out`, and `values`
// in the padded values, point to the tile's first voxel.
FN void finish(float* filtered, float* total, const float* peak, const float* values, const u8* mask, int count,
               int self_peak, Tile t, Volume out, Volume in) {
  for (int x = 0; x < t.depth; ++x) {
    TILE_FOR2(j, i, t.rows, t.width) {
      Index k = x * out.x + j * out.y + i;
      float self = self_peak && peak[k] > 0.0f ? peak[k] : 1.0f, sum = total[k] + self;
      float inverse = 1.0f / sum;
      for (int c = 0; c < count; ++c) {
        float own = values[c * in.next + x * in.x + j * in.y + i];
        float mean = (filtered[c * out.next + k] + self * own) * inverse;
        filtered[c * out.next + k] = mask[k] ? mean : 0.0f;
      }
      total[k] = mask[k] ? sum : 0.0f;
    }
  }
}
