// Mono-exponential decay s(t) = s0 exp(-R2* t) from gradient echoes, without iteration.
#include "decay.h"

// R2* from the integrals I over three echoes and the differences d = s_first - s_last by auto-regression on linear
// operations (ARLO, 10.1002/mrm.25137); for two echoes, from the exact log ratio.
FN float clamped_rate(float numerator, float denominator, float largest) {
  float rate = numerator > 0.0f ? largest : 0.0f;
  rate = denominator > 0.0f ? numerator / denominator : rate;
  return clampf(rate, 0.0f, largest);
}

// coefficients[j, 0..2]: weights of echoes j, j+1, j+2 in the integral of the parabola through them; the last two
// rows are unused.
// R2* = sum(I d + c2 d^2) / sum(I^2 + c2 I d), clamped to 0 .. largest [1/s]; 0 outside the mask and without signal.
KERNEL(arlo_decay,
       (const float* RESTRICT magnitude, const u8* RESTRICT mask, const float* RESTRICT times,
        const float* RESTRICT coefficients, float* RESTRICT r2star, float* RESTRICT t2star, float* RESTRICT s0,
        float scale, float largest, float longest, Index echo, Index n),
       (magnitude, mask, times, coefficients, r2star, t2star, s0, scale, largest, longest, echo, n)) {
  PRIVATE(float, s, 4);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES);
    for (int j = 0; j < 4; ++j)
      FOR_LANES(l) AT(s, j, l) = 0.0f;
    for (Index j = 0; j < echo - 2; ++j) {
      const float* c = coefficients + 3 * j;
      const float* m = magnitude + j * n + first;
      float c1 = c[0], c2 = c[1], c3 = c[2];
      TILE_FOR(l, count) {
        float s1 = scale * m[l], s2 = scale * m[n + l], s3 = scale * m[2 * n + l];
        float integral = c1 * s1 + c2 * s2 + c3 * s3, difference = s1 - s3;
        float instrument = integral + c3 * difference;
        AT(s, 0, l) += difference * instrument;
        AT(s, 1, l) += integral * instrument;
      }
    }
    FOR_LANES(l) { AT(s, 0, l) = clamped_rate(AT(s, 0, l), AT(s, 1, l), largest); }
    for (Index e = 0; e < echo; ++e) {
      const float* m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float decay = fexp(-AT(s, 0, l) * time);
        AT(s, 2, l) += decay * m[l];
        AT(s, 3, l) += decay * decay;
      }
    }
    const u8* inside = mask + first;
    float *rate = r2star + first, *time = t2star + first, *signal = s0 + first;
    TILE_FOR(l, count) {
      float amplitude = AT(s, 2, l) / fmax2(AT(s, 3, l), 1e-30f);
      Decay decay = bounded_decay(AT(s, 0, l), amplitude, inside[l], longest);
      rate[l] = decay.r2star;
      time[l] = decay.t2star;
      signal[l] = decay.s0;
    }
  }
}

// R2* = log(s1 / s2) / spacing, clamped to 0 .. largest; s0 is the least-squares fit at that rate.
KERNEL(two_echo_decay,
       (const float* RESTRICT first, const float* RESTRICT second, const u8* RESTRICT mask,
        float* RESTRICT r2star, float* RESTRICT t2star, float* RESTRICT s0, float time1, float time2,
        float largest, float longest, Index n),
       (first, second, mask, r2star, t2star, s0, time1, time2, largest, longest, n)) {
  FOR_VOXELS(i, n) {
    float s1 = fmax2(first[i], 0.0f), s2 = fmax2(second[i], 0.0f);
    int low = s1 > 0.0f, high = s2 > 0.0f, both = low & high;
    float steepest = (float)(low & (high ^ 1)) * largest;  // no signal left at the second echo
    float rate = flog(both ? s1 / s2 : 1.0f) / (time2 - time1) + steepest;
    rate = clampf(rate, 0.0f, largest);
    float e1 = fexp(-rate * time1), e2 = fexp(-rate * time2), power = e1 * e1 + e2 * e2;
    Decay decay = bounded_decay(rate, (e1 * s1 + e2 * s2) / fmax2(power, 1e-30f), mask[i], longest);
    r2star[i] = decay.r2star;
    t2star[i] = decay.t2star;
    s0[i] = decay.s0;
  }
}
