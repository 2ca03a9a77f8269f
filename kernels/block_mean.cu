// Means of images over blocks of fx x fy x fz voxels, and interpolation of block masks to voxels.
//
// The lattice of blocks is centred on the image, so that flipping an axis flips the result. Blocks may extend beyond
// both ends of an axis by the same number of voxels; there the outermost voxel is repeated. If the number of missing
// voxels is odd, the middle voxel of the axis counts twice. Non-finite values count as 0. Means are taken along x,
// then y, then z. fz is at most LINE.
#include "vmath.h"

#define LINE 768  // largest number of voxels of a row that are averaged at a time, in whole blocks

FN float finite(float x) { return fabs1(x) < INFINITY_F ? x : 0.0f; }
// Blocks of f voxels along an axis of n voxels.
struct Lattice {
  int n, f, missing;
};

FN Lattice lattice_of(Index n, Index blocks, int f) { return Lattice{(int)n, f, (int)(blocks * f - n)}; }

// Voxel i of a block.
FN Index voxel_of(Lattice a, Index block, int i) {
  int place = (int)block * a.f - a.missing / 2 + i;
  int voxel = place - (a.missing % 2 && place > a.n / 2);
  return voxel < 0 ? 0 : voxel < a.n ? voxel : a.n - 1;
}

// Part of a row of blocks: `count` blocks from `first` on, and the `width` voxels from `start` on that they hold.
struct Stretch {
  Index first, start;
  int count, width;
};

FN Stretch stretch_of(Index first, Index bz, Lattice a) {
  int count = bz - first < LINE / a.f ? (int)(bz - first) : LINE / a.f;
  Index start = voxel_of(a, first, 0), last = voxel_of(a, first + count - 1, a.f - 1);
  return Stretch{first, start, count, (int)(last - start + 1)};
}

FN float mean_over_z(const float* column, Stretch s, int b, Lattice a) {
  float sum = 0.0f;
  for (int l = 0; l < a.f; ++l) sum += column[voxel_of(a, s.first + b, l) - s.start];
  return sum / (float)a.f;
}

// mean = mean of image over each block.
KERNEL(block_mean,
       (const float* RESTRICT image, float* RESTRICT mean, int fx, int fy, int fz, Index nx, Index ny, Index nz,
        Index bx, Index by, Index bz),
       (image, mean, fx, fy, fz, nx, ny, nz, bx, by, bz)) {
  TILE_SHARED(float, over_x, LINE);
  TILE_SHARED(float, over_y, LINE);
  Lattice ax = lattice_of(nx, bx, fx), ay = lattice_of(ny, by, fy), az = lattice_of(nz, bz, fz);
  FOR_TILES(row, bx * by) {
    for (Index first = 0; first < bz; first += LINE / fz) {
      Stretch s = stretch_of(first, bz, az);
      TILE_FOR(k, s.width) { over_y[k] = 0.0f; }
      for (int j = 0; j < fy; ++j) {
        TILE_FOR(k, s.width) { over_x[k] = 0.0f; }
        for (int i = 0; i < fx; ++i) {
          const float* line =
              image + (voxel_of(ax, row / by, i) * ny + voxel_of(ay, row % by, j)) * nz + s.start;
          TILE_FOR(k, s.width) { over_x[k] += finite(line[k]); }
        }
        TILE_FOR(k, s.width) { over_y[k] += over_x[k] / (float)fx; }
      }
      TILE_FOR(k, s.width) { over_y[k] /= (float)fy; }
      TILE_SYNC();
      TILE_FOR(b, s.count) { mean[row * bz + first + b] = mean_over_z(over_y, s, b, az); }
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
  Lattice ax = lattice_of(nx, bx, fx), ay = lattice_of(ny, by, fy), az = lattice_of(nz, bz, fz);
  FOR_TILES(row, bx * by) {
    for (Index first = 0; first < bz; first += LINE / fz) {
      Stretch s = stretch_of(first, bz, az);
      TILE_FOR(k, s.width) { re_y[k] = im_y[k] = 0.0f; }
      for (int j = 0; j < fy; ++j) {
        TILE_FOR(k, s.width) { re_x[k] = im_x[k] = 0.0f; }
        Index at = voxel_of(ay, row % by, j) * nz + s.start;
        for (int i = 0; i < fx; ++i) {
          Index line = voxel_of(ax, row / by, i) * ny * nz + at;
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
        re[row * bz + first + b] = mean_over_z(re_y, s, b, az);
        im[row * bz + first + b] = mean_over_z(im_y, s, b, az);
      }
      TILE_SYNC();
    }
  }
}

// Two adjacent blocks along an axis and their weights at a voxel, in units of 1 / (2 f).
struct Between {
  Index low, high;
  int low_weight, high_weight;
};

FN Between between(Lattice a, Index voxel, Index blocks) {
  int f = a.f, middle = a.missing % 2 ? a.n / 2 : a.n, copies = (voxel >= middle) + (voxel > middle);
  int place = 2 * ((int)voxel + a.missing / 2) + 1 + copies + f;  // half voxels from the block before the first
  int low = place / (2 * f) - 1, weight = place % (2 * f);
  return Between{low < 0 ? 0 : low, low + 1 < blocks ? low + 1 : blocks - 1, 2 * f - weight, weight};
}

// mask = 1 where the linearly interpolated block mask is at least one half, else 0; exact integer arithmetic.
KERNEL(block_spread,
       (const u8* RESTRICT blocks, u8* RESTRICT mask, int fx, int fy, int fz, Index bx, Index by, Index bz,
        Index nx, Index ny, Index nz),
       (blocks, mask, fx, fy, fz, bx, by, bz, nx, ny, nz)) {
  int half = 4 * fx * fy * fz;
  Lattice ax = lattice_of(nx, bx, fx), ay = lattice_of(ny, by, fy), az = lattice_of(nz, bz, fz);
  FOR_ROWS(row, nx * ny) {
    Between x = between(ax, row / ny, bx), y = between(ay, row % ny, by);
    const u8* a = blocks + (x.low * by + y.low) * bz;
    const u8* b = blocks + (x.low * by + y.high) * bz;
    const u8* c = blocks + (x.high * by + y.low) * bz;
    const u8* d = blocks + (x.high * by + y.high) * bz;
    int wa = x.low_weight * y.low_weight, wb = x.low_weight * y.high_weight;
    int wc = x.high_weight * y.low_weight, wd = x.high_weight * y.high_weight;
    ROW_FOR(k, (int)nz) {
      Between z = between(az, k, bz);
      int low = wa * a[z.low] + wb * b[z.low] + wc * c[z.low] + wd * d[z.low];
      int high = wa * a[z.high] + wb * b[z.high] + wc * c[z.high] + wd * d[z.high];
      mask[row * nz + k] = z.low_weight * low + z.high_weight * high >= half ? 1 : 0;
    }
  }
}
