// Images averaged over blocks of fx x fy x fz voxels, and masks of blocks brought back to voxels.
//
// Where the last block of an axis is not full, the last voxel counts for those that are missing. Values that are
// not finite count as 0. Means run over x, then y, then z. fz is at most LINE.
#include "vmath.h"

#define LINE 768  // voxels of a row that are averaged at a time, in whole blocks

FN float finite(float x) { return fabs1(x) < INFINITY_F ? x : 0.0f; }
FN Index within(Index i, Index n) { return i < n ? i : n - 1; }

// A stretch of one row of blocks: `count` of them, and the `width` voxels from `start` on that they hold.
struct Stretch {
  Index start;
  int count, width;
};

FN Stretch stretch_of(Index first, Index bz, Index nz, int fz) {
  int count = bz - first < LINE / fz ? (int)(bz - first) : LINE / fz;
  Index start = first * fz;
  return Stretch{start, count, nz - start < count * fz ? (int)(nz - start) : count * fz};
}

FN float mean_over_z(const float* column, Stretch s, int b, int fz) {
  float sum = column[b * fz];
  for (int l = 1; l < fz; ++l) sum += column[within(b * fz + l, s.width)];
  return sum / (float)fz;
}

// mean = mean of image over each block.
KERNEL(block_mean,
       (const float* RESTRICT image, float* RESTRICT mean, int fx, int fy, int fz, Index nx, Index ny, Index nz,
        Index bx, Index by, Index bz),
       (image, mean, fx, fy, fz, nx, ny, nz, bx, by, bz)) {
  TILE_SHARED(float, over_x, LINE);
  TILE_SHARED(float, over_y, LINE);
  FOR_TILES(row, bx * by) {
    Index x = row / by * fx, y = row % by * fy;
    for (Index first = 0; first < bz; first += LINE / fz) {
      Stretch s = stretch_of(first, bz, nz, fz);
      TILE_FOR(k, s.width) { over_y[k] = 0.0f; }
      for (int j = 0; j < fy; ++j) {
        TILE_FOR(k, s.width) { over_x[k] = 0.0f; }
        for (int i = 0; i < fx; ++i) {
          const float* line = image + (within(x + i, nx) * ny + within(y + j, ny)) * nz + s.start;
          TILE_FOR(k, s.width) { over_x[k] += finite(line[k]); }
        }
        TILE_FOR(k, s.width) { over_y[k] += over_x[k] / (float)fx; }
      }
      TILE_FOR(k, s.width) { over_y[k] /= (float)fy; }
      TILE_SYNC();
      TILE_FOR(b, s.count) { mean[row * bz + first + b] = mean_over_z(over_y, s, b, fz); }
      TILE_SYNC();
    }
  }
}

// re, im = mean over each block of magnitude exp(i phase), phase in [rad].
KERNEL(block_phasor,
       (const float* RESTRICT magnitude, const float* RESTRICT phase, float* RESTRICT re, float* RESTRICT im,
        int fx, int fy, int fz, Index nx, Index ny, Index nz, Index bx, Index by, Index bz),
       (magnitude, phase, re, im, fx, fy, fz, nx, ny, nz, bx, by, bz)) {
  TILE_SHARED(float, re_x, LINE);
  TILE_SHARED(float, im_x, LINE);
  TILE_SHARED(float, re_y, LINE);
  TILE_SHARED(float, im_y, LINE);
  FOR_TILES(row, bx * by) {
    Index x = row / by * fx, y = row % by * fy;
    for (Index first = 0; first < bz; first += LINE / fz) {
      Stretch s = stretch_of(first, bz, nz, fz);
      TILE_FOR(k, s.width) { re_y[k] = im_y[k] = 0.0f; }
      for (int j = 0; j < fy; ++j) {
        TILE_FOR(k, s.width) { re_x[k] = im_x[k] = 0.0f; }
        for (int i = 0; i < fx; ++i) {
          Index line = (within(x + i, nx) * ny + within(y + j, ny)) * nz + s.start;
          TILE_FOR(k, s.width) {
            float modulus = finite(magnitude[line + k]), angle = finite(phase[line + k]);
            re_x[k] += modulus * fcos(angle);
            im_x[k] += modulus * fsin(angle);
          }
        }
        TILE_FOR(k, s.width) {
          re_y[k] += re_x[k] / (float)fx;
          im_y[k] += im_x[k] / (float)fx;
        }
      }
      TILE_FOR(k, s.width) {
        re_y[k] /= (float)fy;
        im_y[k] /= (float)fy;
      }
      TILE_SYNC();
      TILE_FOR(b, s.count) {
        re[row * bz + first + b] = mean_over_z(re_y, s, b, fz);
        im[row * bz + first + b] = mean_over_z(im_y, s, b, fz);
      }
      TILE_SYNC();
    }
  }
}

// Two neighbouring blocks along an axis and their weights at a voxel, in units of 1 / (2 f).
struct Between {
  Index low, high;
  int low_weight, high_weight;
};

FN Between between(Index voxel, int f, Index blocks) {
  int place = 2 * (int)voxel + 1 + f;  // from the centre of the block before the first
  int low = place / (2 * f) - 1, weight = place % (2 * f);
  return Between{low < 0 ? 0 : low, low + 1 < blocks ? low + 1 : blocks - 1, 2 * f - weight, weight};
}

// mask = 1 where the mask of blocks, interpolated linearly, is at least one half; else 0. Exact: in integers.
KERNEL(block_spread,
       (const u8* RESTRICT blocks, u8* RESTRICT mask, int fx, int fy, int fz, Index bx, Index by, Index bz,
        Index nx, Index ny, Index nz),
       (blocks, mask, fx, fy, fz, bx, by, bz, nx, ny, nz)) {
  int half = 4 * fx * fy * fz;
  FOR_ROWS(row, nx * ny) {
    Between x = between(row / ny, fx, bx), y = between(row % ny, fy, by);
    const u8* a = blocks + (x.low * by + y.low) * bz;
    const u8* b = blocks + (x.low * by + y.high) * bz;
    const u8* c = blocks + (x.high * by + y.low) * bz;
    const u8* d = blocks + (x.high * by + y.high) * bz;
    int wa = x.low_weight * y.low_weight, wb = x.low_weight * y.high_weight;
    int wc = x.high_weight * y.low_weight, wd = x.high_weight * y.high_weight;
    ROW_FOR(k, (int)nz) {
      Between z = between(k, fz, bz);
      int low = wa * a[z.low] + wb * b[z.low] + wc * c[z.low] + wd * d[z.low];
      int high = wa * a[z.high] + wb * b[z.high] + wc * c[z.high] + wd * d[z.high];
      mask[row * nz + k] = z.low_weight * low + z.high_weight * high >= half ? 1 : 0;
    }
  }
}
