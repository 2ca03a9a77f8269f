// Linear minimum mean squared error (LMMSE) estimate from similar voxels.
//
//   w(i, j) = 2^-t, t = scale C d2 of nlm.cu with patches of one voxel      j over the window; w(i, i) = 1
//   m, S    = weighted mean and covariance of v(j) sqrt(q(i)), whose noise has the variance 1
//   out(i)  = m + ((S - b) (S + b)^-1)^2 (v(i) - m)      b = 0.4
//
// The optimal factor for a direction in which v has the variance S is 1 - 1 / S, and 0 below S = 1.
// ((S - b) / (S + b))^2 is close to it (0.18 at 1, 0.44 at 2, 0.67 at 4), smooth, and needs no eigenvalues, only one
// Cholesky factor and two solutions. It increases again for S < b, but there v(i) - m is small, since v(i) is one of
// the voxels from which S is computed.
#include "nlm.h"

#define MAX_COMPONENTS 32
#define MAX_PAIRS (MAX_COMPONENTS * (MAX_COMPONENTS + 1) / 2)
#define SHIFT 0.4f  // b

// Index of entry (a, b), b <= a, of a symmetric matrix stored by rows.
FN int entry(int a, int b) { return a * (a + 1) / 2 + b; }

// Weights of a row of voxels for one shift, and their running sums.
FN void weigh(float* weight, float* total, Block g, Block q, int mapped, Rule rule, const float* candidate,
              Index shift, int count, int width) {
  for (int c = 0; c < count; ++c) {
    const float *own = g.at + c * g.next, *precision = q.at + c * q.next;
    TILE_FOR(l, width) {
      float step = own[l] - own[l + shift], square = mapped ? precision[l] * (step * step) : step * step;
      AT(weight, 0, l) = c == 0 ? square : AT(weight, 0, l) + square;
    }
  }
  TILE_FOR(l, width) {
    float found = bits_float(weight_bits(AT(weight, 0, l), rule)) * candidate[l + shift];
    AT(weight, 0, l) = found;
    AT(total, 0, l) += found;
  }
}

// Adds the first and second powers of the differences between the voxels at one shift and the central ones, weighted.
FN void add_moments(float* mean, float* second, float* step, const float* weight, Block v, Index shift,
                    int count, int width) {
  for (int a = 0; a < count; ++a) {
    const float* own = v.at + a * v.next;
    TILE_FOR(l, width) {
      float difference = own[l + shift] - own[l];
      AT(step, a, l) = difference;
      AT(mean, a, l) += AT(weight, 0, l) * difference;
    }
    for (int b = 0, k = entry(a, 0); b <= a; ++b, ++k)
      TILE_FOR(l, width) AT(second, k, l) += AT(weight, 0, l) * (AT(step, a, l) * AT(step, b, l));
  }
}

// Weighted mean, and Cholesky factor of S + b with the inverse of its diagonal in place, from the sums; both in units
// of the noise, `unit` being its inverse.
FN void factorise(float* mean, float* factor, const float* total, const float* unit, int count, int width) {
  for (int a = 0; a < count; ++a) {
    TILE_FOR(l, width) AT(mean, a, l) *= AT(unit, a, l) / AT(total, 0, l);
    for (int b = 0; b <= a; ++b) {
      int own = entry(a, b), pivot = entry(b, b);
      TILE_FOR(l, width) {
        float scale = AT(unit, a, l) * AT(unit, b, l) / AT(total, 0, l),
              product = AT(mean, a, l) * AT(mean, b, l);
        AT(factor, own, l) = AT(factor, own, l) * scale - product + (a == b ? SHIFT : 0.0f);
      }
      for (int k = 0; k < b; ++k) {
        int left = entry(a, k), right = entry(b, k);
        TILE_FOR(l, width) AT(factor, own, l) -= AT(factor, left, l) * AT(factor, right, l);
      }
      TILE_FOR(l, width) {  // except for rounding, no pivot is below b
        float value = AT(factor, own, l);
        AT(factor, own, l) = a == b ? 1.0f / fsqrt(fmax2(value, SHIFT)) : value * AT(factor, pivot, l);
      }
    }
  }
}

// x <- x - 2 b (S + b)^-1 x = (S - b) (S + b)^-1 x, y of the same length.
FN void shrink(float* x, float* y, const float* factor, int count, int width) {
  for (int a = 0; a < count; ++a) {
    TILE_FOR(l, width) AT(y, a, l) = AT(x, a, l);
    for (int k = 0; k < a; ++k) {
      int place = entry(a, k);
      TILE_FOR(l, width) AT(y, a, l) -= AT(factor, place, l) * AT(y, k, l);
    }
    int pivot = entry(a, a);
    TILE_FOR(l, width) AT(y, a, l) *= AT(factor, pivot, l);
  }
  for (int a = count - 1; a >= 0; --a) {
    for (int k = a + 1; k < count; ++k) {
      int place = entry(k, a);
      TILE_FOR(l, width) AT(y, a, l) -= AT(factor, place, l) * AT(y, k, l);
    }
    int pivot = entry(a, a);
    TILE_FOR(l, width) {
      AT(y, a, l) *= AT(factor, pivot, l);
      AT(x, a, l) -= 2.0f * SHIFT * AT(y, a, l);
    }
  }
}

// Arguments as in nlm.cu; the margin is the radius of the window.
KERNEL(nlm_lmmse,
       (const float* RESTRICT guide, const float* RESTRICT values, const float* RESTRICT precision,
        const float* RESTRICT candidate, const u8* RESTRICT mask, float* RESTRICT filtered, float scale,
        float most, int search_x, int search_y, int search_z, Index components, Index px, Index py, Index pz,
        Index maps, Index nx, Index ny, Index nz),
       (guide, values, precision, candidate, mask, filtered, scale, most, search_x, search_y, search_z,
        components, px, py, pz, maps, nx, ny, nz)) {
  PRIVATE(float, total, 1);
  PRIVATE(float, weight, 1);
  PRIVATE(float, mean, MAX_COMPONENTS);
  PRIVATE(float, rest, MAX_COMPONENTS);
  PRIVATE(float, step, MAX_COMPONENTS);
  PRIVATE(float, unit, MAX_COMPONENTS);
  PRIVATE(float, second, MAX_PAIRS);
  Volume in = {pz, py * pz, px * py * pz}, out = {nz, ny * nz, nx * ny * nz};
  Rule rule = {scale, 0.0f, most};
  int count = (int)components, mapped = maps > 0;
  Index chunks = (nz + TILE_LANES - 1) / TILE_LANES;
  FOR_TILES(tile, nx * ny * chunks) {
    Index x = tile / (ny * chunks), y = tile / chunks % ny, z = tile % chunks * TILE_LANES;
    int width = (int)(nz - z < TILE_LANES ? nz - z : TILE_LANES);
    Index to = x * out.x + y * out.y + z;
    Index from = (x + search_x) * in.x + (y + search_y) * in.y + z + search_z;
    Block g = {guide + from, in.next}, v = {values + from, in.next};
    Block q = {precision + (mapped ? from : 0), maps > 1 ? in.next : 0};
    TILE_FOR(l, width) AT(total, 0, l) = 1.0f;
    for (int a = 0; a < count; ++a) {
      const float* precise = q.at + a * q.next;
      TILE_FOR(l, width) {
        AT(mean, a, l) = 0.0f;
        AT(unit, a, l) = mapped ? fsqrt(precise[l]) : 1.0f;
      }
    }
    for (int k = 0; k < entry(count, 0); ++k)
      TILE_FOR(l, width) AT(second, k, l) = 0.0f;
    for (int i = -search_x; i <= search_x; ++i)
      for (int j = -search_y; j <= search_y; ++j)
        for (int k = -search_z; k <= search_z; ++k) {
          if (i == 0 && j == 0 && k == 0) continue;
          Index shift = i * in.x + j * in.y + k;
          weigh(weight, total, g, q, mapped, rule, candidate + from, shift, count, width);
          add_moments(mean, second, step, weight, v, shift, count, width);
        }
    factorise(mean, second, total, unit, count, width);
    for (int a = 0; a < count; ++a)
      TILE_FOR(l, width) AT(rest, a, l) = AT(mean, a, l);
    for (int k = 0; k < 2; ++k) shrink(rest, step, second, count, width);
    for (int a = 0; a < count; ++a) {
      const float* own = v.at + a * v.next;
      float* estimate = filtered + a * out.next + to;
      TILE_FOR(l, width) {
        float change = (AT(mean, a, l) - AT(rest, a, l)) / AT(unit, a, l);
        estimate[l] = mask[to + l] ? own[l] + change : 0.0f;
      }
    }
  }
}
