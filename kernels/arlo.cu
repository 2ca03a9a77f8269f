// Mono-exponential decay s(t) = s0 exp(-R2* t) from gradient echoes, without iteration.
#include "vmath.h"

// R2* from sums I = integral over three echoes and d = s_first - s_last by auto-regression on linear
// operations (ARLO, 10.1002/mrm.25137); from two echoes the exact log ratio.
FN float clamped_rate(float numerator, float denominator, float largest) {
  float rate = denominator > 0.0f ? numerator / denominator : (numerator > 0.0f ? largest : 0.0f);
  return clampf(rate, 0.0f, largest);
}

// Amplitude by least squares at the known rate, and the three results; t2star = min(1 / R2*, longest).
FN void store_decay(float rate, float s0, int inside, float longest, float* r2star, float* t2star, float* s0_out) {
  int signal = inside && s0 > 0.0f;
  float t2 = rate * longest > 1.0f ? 1.0f / rate : longest;
  *r2star = signal ? rate : 0.0f;
  *t2star = signal ? t2 : 0.0f;
  *s0_out = signal ? s0 : 0.0f;
}

// coefficients[j, 0..2]: weights of echoes j, j+1, j+2 in the integral of the parabola through them; the last
// two rows are not used.
// R2* = sum(I d + c2 d^2) / sum(I^2 + c2 I d), clamped to 0 .. largest [1/s]; 0 outside and without signal.
KERNEL(arlo_decay,
       (const float* RESTRICT magnitude, const u8* RESTRICT mask, const float* RESTRICT times,
        const float* RESTRICT coefficients, float* RESTRICT r2star, float* RESTRICT t2star,
        float* RESTRICT s0, float scale, float largest, float longest, Index echo, Index n),
       (magnitude, mask, times, coefficients, r2star, t2star, s0, scale, largest, longest, echo, n)) {
  PRIVATE(float, s, 4);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES);
    FOR_LANES(l) {
      for (int j = 0; j < 4; ++j) AT(s, j, l) = 0.0f;
    }
    for (Index j = 0; j < echo - 2; ++j) {
      const float* c = coefficients + 3 * j;
      const float* m = magnitude + j * n + first;
      FOR_LANES(l) {
        int i = l < count ? l : 0;
        float s1 = scale * m[i], s2 = scale * m[n + i], s3 = scale * m[2 * n + i];
        float integral = c[0] * s1 + c[1] * s2 + c[2] * s3, difference = s1 - s3;
        float instrument = integral + c[2] * difference;
        AT(s, 0, l) += difference * instrument;
        AT(s, 1, l) += integral * instrument;
      }
    }
    FOR_LANES(l) { AT(s, 0, l) = clamped_rate(AT(s, 0, l), AT(s, 1, l), largest); }
    for (Index e = 0; e < echo; ++e) {
      const float* m = magnitude + e * n + first;
      FOR_LANES(l) {
        float decay = fexp(-AT(s, 0, l) * times[e]);
        AT(s, 2, l) += decay * m[l < count ? l : 0];
        AT(s, 3, l) += decay * decay;
      }
    }
    FOR_LANES(l) {
      float amplitude = AT(s, 3, l) > 0.0f ? AT(s, 2, l) / AT(s, 3, l) : 0.0f;
      if (l < count) {
        Index i = first + l;
        store_decay(AT(s, 0, l), amplitude, mask[i], longest, r2star + i, t2star + i, s0 + i);
      }
    }
  }
}

// R2* = log(s1 / s2) / spacing, clamped to 0 .. largest; s0 by least squares at that rate.
KERNEL(two_echo_decay,
       (const float* RESTRICT first, const float* RESTRICT second, const u8* RESTRICT mask,
        float* RESTRICT r2star, float* RESTRICT t2star, float* RESTRICT s0, float time1, float time2,
        float largest, float longest, Index n),
       (first, second, mask, r2star, t2star, s0, time1, time2, largest, longest, n)) {
  FOR_VOXELS(i, n) {
    float s1 = fmax2(first[i], 0.0f), s2 = fmax2(second[i], 0.0f);
    int positive = s1 > 0.0f && s2 > 0.0f;
    float log_ratio = flog(positive ? s1 / s2 : 1.0f);
    float rate = clampf(log_ratio / (time2 - time1), 0.0f, largest);
    rate = positive ? rate : (s1 > 0.0f ? largest : 0.0f);
    float e1 = fexp(-rate * time1), e2 = fexp(-rate * time2), power = e1 * e1 + e2 * e2;
    float amplitude = power > 0.0f ? (e1 * s1 + e2 * s2) / power : 0.0f;
    store_decay(rate, amplitude, mask[i], longest, r2star + i, t2star + i, s0 + i);
  }
}
