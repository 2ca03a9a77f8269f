// Probabilities of three tissues and their two mixtures in each voxel, one step of a mean-field approximation.
#include "vmath.h"

#define PURE 3
#define CLASSES 5
#define BOUNDS 3.0f
#define ROOT_TWO_PI_INVERSE 0.398942280f
#define FAINT 1e-30f

// Upper tail of the normal distribution at x >= 0 with gauss = exp(-x^2 / 2); Abramowitz and Stegun 7.1.26.
FN float upper_tail(float x, float gauss) {
  float t = 1.0f / (1.0f + 0.231641888f * x);
  float p = -1.453152027f + t * 1.061405429f;
  p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * p)));
  return 0.5f * p * gauss;
}

// Voxels that mix two tissues evenly in all proportions: density of the intensity, and the mean fraction of the
// brighter one. Intensities are measured from the darker level in units of the noise; span is the brighter level.
struct Mixture {
  float density, fraction;
};
FN Mixture mixture(float y, float span) {
  float a = -y, b = span - y, ga = fexp(-0.5f * a * a), gb = fexp(-0.5f * b * b);
  float ta = upper_tail(fabs1(a), ga), tb = upper_tail(fabs1(b), gb);
  float area = a > 0.0f ? ta - tb : b < 0.0f ? tb - ta : 1.0f - ta - tb;
  area = fmax2(area, FAINT);
  float mean = y + ROOT_TWO_PI_INVERSE * (ga - gb) / area;
  Mixture found = {area / span, clampf(mean / span, 0.0f, 1.0f)};
  return found;
}

// Classes 0, 2, 4 are tissues of increasing intensity, 1 and 3 the mixtures between them. Their probabilities are
// proportional to share_i density_i exp(strength sum_j f_j max(2 - |i - j|, -1)), with f the mean of `old` over the
// 26 neighbours in the mask, weighted by `weights`. fraction = expected part of each tissue, expected = expected
// intensity. Only voxels in the mask and away from the faces are written.
KERNEL(tissue_step,
       (const float* RESTRICT image, const u8* RESTRICT mask, const float* RESTRICT old,
        const float* RESTRICT weights, const float* RESTRICT level, const float* RESTRICT spread,
        const float* RESTRICT share, float* RESTRICT next, float* RESTRICT fraction, float* RESTRICT expected,
        float strength, Index nx, Index ny, Index nz, Index neighbours),
       (image, mask, old, weights, level, spread, share, next, fraction, expected, strength, nx, ny, nz,
        neighbours)) {
  PRIVATE(float, near, CLASSES);
  Index n = nx * ny * nz, chunks = (nz + TILE_LANES - 1) / TILE_LANES;
  float between[2], span[2];
  for (int j = 0; j < 2; ++j) {
    between[j] = fsqrt(0.5f * (spread[j] * spread[j] + spread[j + 1] * spread[j + 1]));
    span[j] = (level[j + 1] - level[j]) / between[j];
  }
  float least = level[0] - BOUNDS * spread[0], most = level[PURE - 1] + BOUNDS * spread[PURE - 1];
  FOR_TILES(t, nx * ny * chunks) {
    Index row = t / chunks, x = row / ny, y = row % ny, start = 1 + t % chunks * TILE_LANES;
    int inner = x > 0 && y > 0 && x < nx - 1 && y < ny - 1, count = 0, any = 0;
    if (inner) count = (int)(nz - 1 - start < TILE_LANES ? nz - 1 - start : TILE_LANES);
    Index first = row * nz + start;
    const u8* inside = mask + first;
    ANY_LANE(any, l, l < count && inside[l]);
    if (!any) continue;
    for (int j = 0; j < CLASSES; ++j) {
      FOR_LANES(l) AT(near, j, l) = 0.0f;
      for (int k = 0; k < (int)neighbours; ++k) {
        const float* other = old + j * n + first + ((k / 9 - 1) * ny + k / 3 % 3 - 1) * nz + k % 3 - 1;
        float weight = weights[k];
        TILE_FOR(l, count) { AT(near, j, l) += weight * other[l]; }
      }
    }
    TILE_FOR(l, count) {
      float value = clampf(image[first + l], least, most), p[CLASSES], total = 0.0f, sum = 0.0f;
      for (int j = 0; j < CLASSES; ++j) sum += AT(near, j, l);
      float scale = strength / fmax2(sum, FAINT);
      Mixture dark = mixture((value - level[0]) / between[0], span[0]);
      Mixture bright = mixture((value - level[1]) / between[1], span[1]);
      for (int j = 0; j < PURE; ++j) {
        float z = (value - level[j]) / spread[j];
        p[2 * j] = ROOT_TWO_PI_INVERSE / spread[j] * fexp(-0.5f * z * z);
      }
      p[1] = dark.density / between[0];
      p[3] = bright.density / between[1];
      for (int i = 0; i < CLASSES; ++i) {
        float agreement = 0.0f;
        for (int j = 0; j < CLASSES; ++j) {
          int apart = i > j ? i - j : j - i;
          agreement += (apart > 2 ? -1.0f : 2.0f - (float)apart) * AT(near, j, l);
        }
        p[i] = share[i] * p[i] * fexp(scale * agreement) + FAINT;
        total += p[i];
      }
      for (int i = 0; i < CLASSES; ++i) p[i] /= total;
      if (inside[l]) {
        for (int i = 0; i < CLASSES; ++i) next[i * n + first + l] = p[i];
        float csf = p[0] + p[1] * (1.0f - dark.fraction), wm = p[4] + p[3] * bright.fraction;
        fraction[first + l] = csf;
        fraction[n + first + l] = fmax2(1.0f - csf - wm, 0.0f);
        fraction[2 * n + first + l] = wm;
        expected[first + l] = level[0] * csf + level[1] * fmax2(1.0f - csf - wm, 0.0f) + level[2] * wm;
      }
    }
  }
}
