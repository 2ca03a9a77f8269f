// Loading and storing of blocks of volumes, and sums over volumes, shared by all fits to a diffusion series.
//
// A block holds BLOCK volumes of TILE_LANES voxels.
#pragma once
#include "vmath.h"

#define BLOCK 8  // volumes processed together; the host pads the coefficients with zeros to whole blocks
#define KEPT TILE_PICK(32, 0)  // number of blocks kept for later passes; the others are reloaded
#define LOWER(i, j) \
  ((i) * ((i) + 1) / 2 + (j))  // index of an entry of a symmetric matrix, lower triangle by rows
#define SMALL_PIVOT 1e-6f  // a pivot below this fraction of its diagonal entry is rounding error

FN int slot_of(int block) { return block < KEPT ? block : KEPT; }

// Number of volumes of a block that are real, not padding.
FN int volumes_of(int block, int volumes) {
  return volumes - block * BLOCK < BLOCK ? volumes - block * BLOCK : BLOCK;
}

// Load the signals of one block of volumes into s and update their running maximum `peak`. `index`: voxels of the
// tile, ascending; `run`: whether they are consecutive.
FN void load_block(float* s, float* peak, const float* signal, const int* index, int run, int block,
                   int volumes, Index n) {
  for (int j = 0; j < BLOCK; ++j) {
    int v = block * BLOCK + j;
    const float* volume = signal + (Index)(v < volumes ? v : volumes - 1) * n;
    if (run) {
      const float* start = volume + index[0];
      FOR_LANES(l) { AT(peak, 0, l) = fmax2(AT(s, j, l) = start[l], AT(peak, 0, l)); }
    } else {
      FOR_LANES(l) { AT(peak, 0, l) = fmax2(AT(s, j, l) = volume[index[l]], AT(peak, 0, l)); }
    }
  }
}

// Prefetch one block of volumes of the next tile (voxels `next`) during work on the current one: there are more
// streams than a CPU's prefetcher can follow. On a GPU, other warps hide the latency.
FN void fetch_block(const float* signal, const int* next, int block, int volumes, Index n) {
  for (int j = 0; j < TILE_PICK(BLOCK, 0); ++j) {
    int v = block * BLOCK + j;
    const float* volume = signal + (Index)(v < volumes ? v : volumes - 1) * n;
    for (int i = 0; i < TILE_LANES; i += 16)
      TILE_PICK(__builtin_prefetch(volume + next[i], 0, 3), (void)volume);
  }
}

// x = `scale` S if S > 0, else `lift`; at least `least`.
FN void raise_block(float* s, const float* scale, const float* lift, const float* least) {
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) {
      float x = AT(s, j, l);
      AT(s, j, l) = fmax2(x > 0.0f ? x * AT(scale, 0, l) : AT(lift, 0, l), AT(least, 0, l));
    }
}

FN void log_block(float* y, const float* x) {
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) { AT(y, j, l) = flog(AT(x, j, l)); }
}

// total_row += sum_j coefficients_row,j x_j for row < rows: inner loop of every sum over volumes.
#define ADD_BLOCK(total, rows, coefficients, x)                                                   \
  for (int row = 0; row < (rows); ++row) {                                                        \
    const float* f = (coefficients) + row * BLOCK;                                                \
    float f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3], f4 = f[4], f5 = f[5], f6 = f[6], f7 = f[7]; \
    FOR_LANES(l) {                                                                                \
      float even = f0 * AT(x, 0, l) + f2 * AT(x, 2, l) + f4 * AT(x, 4, l) + f6 * AT(x, 6, l);     \
      float odd = f1 * AT(x, 1, l) + f3 * AT(x, 3, l) + f5 * AT(x, 5, l) + f7 * AT(x, 7, l);      \
      AT(total, row, l) += even + odd;                                                            \
    }                                                                                             \
  }

FN void clear(float* a, int count) {
  for (int k = 0; k < count; ++k)
    FOR_LANES(l) { AT(a, k, l) = 0.0f; }
}

// Write the `count` maps of a tile.
FN void put_maps(float* maps, const float* out, int count, const int* index, int run, Index n) {
  for (int k = 0; k < count; ++k) {
    float* plane = maps + k * n;
    if (run) {
      FOR_LANES(l) { plane[index[0] + l] = AT(out, k, l); }
    } else {
      FOR_LANES(l) { plane[index[l]] = AT(out, k, l); }
    }
  }
}

// S is divided by the power of two at or below its largest value: the division is exact and keeps the logarithms
// small. `top` is that power; `top` and `scale` are 0 where no signal is positive and finite.
FN void scale_tile(float* scale, float* top, const float* peak) {
  FOR_LANES(l) {
    float largest = AT(peak, 0, l);
    int usable = largest > 1e-30f && largest < 1e30f;
    int exponent = float_bits(usable ? largest : 1.0f) & 0x7f800000;
    AT(scale, 0, l) = usable ? bits_float(0x7f000000 - exponent) : 0.0f;
    AT(top, 0, l) = usable ? bits_float(exponent) : 0.0f;
  }
}

// A tile of a series: location of its signals, their scale factor, and room for the largest signal.
struct Series {
  const float *signal, *scale;
  const int* index;
  float* peak;
  int run, volumes, blocks;
  Index n;
};

// Scaled signals of one block, kept after the first pass if there is room; NaN becomes 0.
FN float* block_of(float* kept, const Series t, int block, int again) {
  float* x = &AT(kept, slot_of(block) * BLOCK, 0);
  if (!again || block >= KEPT) {
    load_block(x, t.peak, t.signal, t.index, t.run, block, t.volumes, t.n);
    for (int j = 0; j < BLOCK; ++j)
      FOR_LANES(l) {
        float s = AT(x, j, l) * AT(t.scale, 0, l);
        AT(x, j, l) = s == s ? s : 0.0f;
      }
  }
  return x;
}
