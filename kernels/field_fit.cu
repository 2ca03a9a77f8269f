// Closed-form weighted linear fit of unwrapped phase over echo time, for any number of echoes.
#include "vmath.h"

// Per voxel, with weights w_e = max(scale m_e, floor)^2: minimise sum_e w_e (phase_e - offset - slope TE_e)^2,
// offset = 0 unless with_offset. Times in any unit t. slope [rad/t]; information = 1 / variance of the slope for unit
// noise of the scaled magnitude [t^2]; residual = minimum of the sum. All 0 outside the mask.
KERNEL(weighted_field_fit,
       (const float* RESTRICT phase, const float* RESTRICT magnitude, const u8* RESTRICT mask,
        const float* RESTRICT times, float* RESTRICT slope, float* RESTRICT information,
        float* RESTRICT residual, float scale, float floor, int with_offset, Index echo, Index n),
       (phase, magnitude, mask, times, slope, information, residual, scale, floor, with_offset, echo, n)) {
  PRIVATE(float, s, 5);
  float offset = with_offset ? 1.0f : 0.0f;
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES);
    for (int j = 0; j < 5; ++j)
      FOR_LANES(l) AT(s, j, l) = 0.0f;
    for (Index e = 0; e < echo; ++e) {
      const float* p = phase + e * n + first;
      const float* m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float a = fmax2(scale * m[l], floor), w = a * a;
        AT(s, 0, l) += w;
        AT(s, 1, l) += w * time;
        AT(s, 2, l) += w * p[l];
      }
    }
    TILE_FOR(l, count) {
      float inverse = offset / AT(s, 0, l);
      AT(s, 1, l) *= inverse;
      AT(s, 2, l) *= inverse;
      AT(s, 0, l) = 0.0f;
    }
    for (Index e = 0; e < echo; ++e) {
      const float* p = phase + e * n + first;
      const float* m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float a = fmax2(scale * m[l], floor), w = a * a;
        float centred = time - AT(s, 1, l), value = p[l] - AT(s, 2, l);
        AT(s, 3, l) += w * centred * centred;
        AT(s, 4, l) += w * centred * value;
      }
    }
    TILE_FOR(l, count) { AT(s, 4, l) = AT(s, 4, l) / AT(s, 3, l); }
    for (Index e = 0; e < echo; ++e) {
      const float* p = phase + e * n + first;
      const float* m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float a = fmax2(scale * m[l], floor);
        float error = p[l] - AT(s, 2, l) - AT(s, 4, l) * (time - AT(s, 1, l));
        AT(s, 0, l) += a * a * error * error;
      }
    }
    const u8* inside = mask + first;
    float *to_slope = slope + first, *to_information = information + first, *to_residual = residual + first;
    TILE_FOR(l, count) {
      to_slope[l] = inside[l] ? AT(s, 4, l) : 0.0f;
      to_information[l] = inside[l] ? AT(s, 3, l) : 0.0f;
      to_residual[l] = inside[l] ? AT(s, 0, l) : 0.0f;
    }
  }
}
