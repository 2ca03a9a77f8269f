// Correction of perfusion curves for agent that leaves the vessels.
#include "vmath.h"

// Per voxel: y = k1 reference - k2 leaked_s by least squares, for the setting s that explains most. inverse_s holds the
// elements 00, 01, 11 of the inverse of the normal matrix, 11 being that of the leaked part. k2 counts if it is at
// least `significance` times its standard error, from the residuals, and the voxel is `open`, else it is 0. corrected = y + k2 leaked_s;
// setting = s. All 0 outside the mask.
KERNEL(leakage_fit,
       (const float* RESTRICT change, const u8* RESTRICT mask, const u8* RESTRICT open,
        const float* RESTRICT reference, const float* RESTRICT leaked, const float* RESTRICT inverse,
        float* RESTRICT corrected, float* RESTRICT k2, float* RESTRICT setting, float significance, Index frame,
        Index n, Index settings),
       (change, mask, open, reference, leaked, inverse, corrected, k2, setting, significance, frame, n,
        settings)) {
  enum { POWER, ALONG, LEAKED, MOST, K2, BEST, NUMBERS };
  PRIVATE(float, v, NUMBERS);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), any = 0;
    const float* x = change + first;
    const u8 *inside = mask + first, *leaks = open + first;
    ANY_LANE(any, l, l < count && inside[l]);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = 0.0f;
    for (Index i = 0; i < frame && any; ++i) {
      float a = reference[i];
      TILE_FOR(l, count) {
        AT(v, POWER, l) += x[i * n + l] * x[i * n + l];
        AT(v, ALONG, l) += a * x[i * n + l];
      }
    }
    float freedom = 1.0f / (float)(frame - 2);
    for (Index s = 0; s < settings && any; ++s) {
      const float* b = leaked + s * frame;
      TILE_FOR(l, count) AT(v, LEAKED, l) = 0.0f;
      for (Index i = 0; i < frame; ++i) {
        float weight = b[i];
        TILE_FOR(l, count) { AT(v, LEAKED, l) += weight * x[i * n + l]; }
      }
      float n00 = inverse[3 * s], n01 = inverse[3 * s + 1], n11 = inverse[3 * s + 2];
      int fresh = s == 0;
      TILE_FOR(l, count) {
        float p = AT(v, ALONG, l), q = AT(v, LEAKED, l), c0 = n00 * p + n01 * q, c1 = n01 * p + n11 * q;
        float explained = c0 * p + c1 * q, rest = fmax2(AT(v, POWER, l) - explained, 0.0f) * freedom;
        int better = fresh || explained > AT(v, MOST, l);
        int counts = leaks[l] && c1 * c1 >= significance * significance * rest * n11;
        AT(v, K2, l) = better ? (counts ? -c1 : 0.0f) : AT(v, K2, l);
        AT(v, BEST, l) = better ? (float)s : AT(v, BEST, l);
        AT(v, MOST, l) = better ? explained : AT(v, MOST, l);
      }
    }
    float *to_k2 = k2 + first, *to_setting = setting + first;
    TILE_FOR(l, count) {
      to_k2[l] = inside[l] ? AT(v, K2, l) : 0.0f;
      to_setting[l] = inside[l] && leaks[l] ? AT(v, BEST, l) : 0.0f;
    }
    for (Index i = 0; i < frame; ++i) {
      float* to = corrected + i * n + first;
      TILE_FOR(l, count) {
        float part = AT(v, K2, l) * leaked[(Index)AT(v, BEST, l) * frame + i];
        to[l] = inside[l] ? x[i * n + l] + part : 0.0f;
      }
    }
  }
}
