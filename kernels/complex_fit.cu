// Nonlinear fit of the complex signal over echo time: phase linear in time, magnitudes as measured.
#include "vmath.h"

// Sine of a misfit, finite also for non-finite phases (voxels outside the mask).
FN float pull_of(float misfit) { return fsin(clampf(misfit, -1e4f, 1e4f)); }

// Per voxel, with weights w_e = max(scale m_e, floor)^2: minimise
//   sum_e w_e |exp(i phase_e) - exp(i (offset + slope TE_e))|^2 = sum_e 2 w_e (1 - cos(misfit_e)),
// offset = 0 unless with_offset. Gauss-Newton, starting from the linear fit of the phase. Each step is that of the
// linear fit with sin(misfit) in place of the misfit; this is a majorisation, so no step increases the sum. Times in
// any unit t. slope [rad/t]; information = 1 / variance of the slope for unit noise of the scaled magnitude [t^2];
// residual = the final sum. All 0 outside the mask.
KERNEL(complex_field_fit,
       (const float* RESTRICT phase, const float* RESTRICT magnitude, const u8* RESTRICT mask,
        const float* RESTRICT times, float* RESTRICT slope, float* RESTRICT information,
        float* RESTRICT residual, float scale, float floor, int with_offset, int iterations, Index echo,
        Index n),
       (phase, magnitude, mask, times, slope, information, residual, scale, floor, with_offset, iterations,
        echo, n)) {
  // Sums and unknowns of a voxel: the phase is offset + slope (TE - centre) with the weighted mean time as centre.
  enum { WEIGHT, CENTRE, OFFSET, SPREAD, SLOPE, STEP, TURN, NUMBERS };
  PRIVATE(float, s, NUMBERS);
  float offset = with_offset ? 1.0f : 0.0f;
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(s, j, l) = 0.0f;
    for (Index e = 0; e < echo; ++e) {
      const float *p = phase + e * n + first, *m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float a = fmax2(scale * m[l], floor), w = a * a;
        AT(s, WEIGHT, l) += w;
        AT(s, CENTRE, l) += w * time;
        AT(s, OFFSET, l) += w * p[l];
      }
    }
    TILE_FOR(l, count) {
      float inverse = offset / AT(s, WEIGHT, l);
      AT(s, WEIGHT, l) = inverse;
      AT(s, CENTRE, l) *= inverse;
      AT(s, OFFSET, l) *= inverse;
    }
    for (Index e = 0; e < echo; ++e) {
      const float *p = phase + e * n + first, *m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float a = fmax2(scale * m[l], floor), w = a * a;
        float centred = time - AT(s, CENTRE, l);
        AT(s, SPREAD, l) += w * centred * centred;
        AT(s, SLOPE, l) += w * centred * (p[l] - AT(s, OFFSET, l));
      }
    }
    TILE_FOR(l, count) { AT(s, SLOPE, l) = AT(s, SLOPE, l) / fmax2(AT(s, SPREAD, l), 1e-30f); }
    for (int iteration = 0; iteration < iterations; ++iteration) {
      for (Index e = 0; e < echo; ++e) {
        const float *p = phase + e * n + first, *m = magnitude + e * n + first;
        float time = times[e];
        TILE_FOR(l, count) {
          float a = fmax2(scale * m[l], floor);
          float centred = time - AT(s, CENTRE, l);
          float pull = a * a * pull_of(p[l] - AT(s, OFFSET, l) - AT(s, SLOPE, l) * centred);
          AT(s, TURN, l) += pull;
          AT(s, STEP, l) += pull * centred;
        }
      }
      TILE_FOR(l, count) {
        AT(s, OFFSET, l) += AT(s, TURN, l) * AT(s, WEIGHT, l);
        AT(s, SLOPE, l) += AT(s, STEP, l) / fmax2(AT(s, SPREAD, l), 1e-30f);
        AT(s, TURN, l) = 0.0f;
        AT(s, STEP, l) = 0.0f;
      }
    }
    for (Index e = 0; e < echo; ++e) {
      const float *p = phase + e * n + first, *m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float a = fmax2(scale * m[l], floor);
        float misfit = p[l] - AT(s, OFFSET, l) - AT(s, SLOPE, l) * (time - AT(s, CENTRE, l));
        float chord = 2.0f * a * pull_of(0.5f * misfit);
        AT(s, STEP, l) += chord * chord;
      }
    }
    const u8* inside = mask + first;
    float *to_slope = slope + first, *to_information = information + first, *to_residual = residual + first;
    TILE_FOR(l, count) {
      to_slope[l] = inside[l] ? AT(s, SLOPE, l) : 0.0f;
      to_information[l] = inside[l] ? AT(s, SPREAD, l) : 0.0f;
      to_residual[l] = inside[l] ? AT(s, STEP, l) : 0.0f;
    }
  }
}
