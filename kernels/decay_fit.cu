// Least-squares fits of s(t) = s0 exp(-R2* t) to magnitudes, with or without a noise floor.
#include "decay.h"

// Power below which an echo contains no signal, relative to the largest magnitude of the image. Used as a weight, it
// is still above the rounding error of the sum over echoes with signal.
#define FAINT 1e-12f

// Weighted linear fit to log s: p_e = (scale m_e)^2 - noise_power is the signal's power without that of the noise,
// y_e = log(p_e) / 2, and the weights p_e^2 / (scale m_e)^2 are the inverse variances of y_e for unit noise; echoes
// below the noise have weight 0. R2* is clamped to 0 .. largest [1/s]; information = 1 / variance of R2* for unit
// noise of the scaled magnitude [s^2]; residual = sum_e w_e (y_e - fit)^2. All 0 outside the mask.
KERNEL(log_linear_decay,
       (const float* RESTRICT magnitude, const u8* RESTRICT mask, const float* RESTRICT times,
        float* RESTRICT r2star, float* RESTRICT t2star, float* RESTRICT s0, float* RESTRICT information,
        float* RESTRICT residual, float scale, float noise_power, float largest, float longest, Index echo,
        Index n),
       (magnitude, mask, times, r2star, t2star, s0, information, residual, scale, noise_power, largest, longest,
        echo, n)) {
  enum { WEIGHT, TIME, LOG, SPREAD, SLOPE, RESIDUAL, NUMBERS };
  PRIVATE(float, s, NUMBERS);
  float inverse_scale = 1.0f / scale;
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(s, j, l) = 0.0f;
    for (Index e = 0; e < echo; ++e) {
      const float* m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float measured = fmax2(scale * m[l] * (scale * m[l]), FAINT);
        float power = fmax2(measured - noise_power, FAINT), w = power * power / measured;
        AT(s, WEIGHT, l) += w;
        AT(s, TIME, l) += w * time;
        AT(s, LOG, l) += w * 0.5f * flog(power);
      }
    }
    TILE_FOR(l, count) {
      float inverse = 1.0f / AT(s, WEIGHT, l);
      AT(s, TIME, l) *= inverse;
      AT(s, LOG, l) *= inverse;
    }
    for (Index e = 0; e < echo; ++e) {
      const float* m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float measured = fmax2(scale * m[l] * (scale * m[l]), FAINT);
        float power = fmax2(measured - noise_power, FAINT), w = power * power / measured;
        float centred = time - AT(s, TIME, l);
        AT(s, SPREAD, l) += w * centred * centred;
        AT(s, SLOPE, l) -= w * centred * (0.5f * flog(power) - AT(s, LOG, l));
      }
    }
    TILE_FOR(l, count) { AT(s, SLOPE, l) = clampf(AT(s, SLOPE, l) / AT(s, SPREAD, l), 0.0f, largest); }
    for (Index e = 0; e < echo; ++e) {
      const float* m = magnitude + e * n + first;
      float time = times[e];
      TILE_FOR(l, count) {
        float measured = fmax2(scale * m[l] * (scale * m[l]), FAINT);
        float power = fmax2(measured - noise_power, FAINT), w = power * power / measured;
        float error = 0.5f * flog(power) - AT(s, LOG, l) + AT(s, SLOPE, l) * (time - AT(s, TIME, l));
        AT(s, RESIDUAL, l) += w * error * error;
      }
    }
    const u8* inside = mask + first;
    float *rate = r2star + first, *time = t2star + first, *signal = s0 + first;
    float *to_information = information + first, *to_residual = residual + first;
    TILE_FOR(l, count) {
      float log_amplitude = AT(s, LOG, l) + AT(s, SLOPE, l) * AT(s, TIME, l);
      float seen = AT(s, WEIGHT, l) > 1e3f * FAINT ? 1.0f : 0.0f;
      float amplitude = seen * fexp(fmin2(log_amplitude, 80.0f)) * inverse_scale;
      Decay decay = bounded_decay(AT(s, SLOPE, l), amplitude, inside[l], longest);
      rate[l] = decay.r2star;
      time[l] = decay.t2star;
      signal[l] = decay.s0;
      to_information[l] = inside[l] ? seen * AT(s, SPREAD, l) : 0.0f;
      to_residual[l] = inside[l] ? AT(s, RESIDUAL, l) : 0.0f;
    }
  }
}

// Contribution of the noise to the mean of a Rician magnitude: mean^2 = signal^2 + noise^2 (1 + excess(y)) with
// y = (signal / noise)^2; excess is pi/2 - 1 at 0 and tends to 1 / (2 y). The error of the mean is < 0.0011 noise.
#define EXCESS (PI_F / 2.0f - 1.0f)
FN float rician_numerator(float y) { return 1.0f + 0.131721f * y; }
FN float rician_denominator(float y) { return 1.0f + y * (0.473976f + y * 0.150382f); }

// Fit of the mean magnitude sqrt(s^2 + noise^2 (1 + excess)), s = s0 exp(-R2* t), to the scaled magnitudes by
// Gauss-Newton, starting from the given r2star and s0; noise = 0 fits s itself. A step that does not decrease the sum
// of squares is rejected and a quarter of it is tried next; `iterations` steps are tried. Results as in
// log_linear_decay.
KERNEL(nonlinear_decay,
       (const float* RESTRICT magnitude, const u8* RESTRICT mask, const float* RESTRICT times,
        float* RESTRICT r2star, float* RESTRICT t2star, float* RESTRICT s0, float* RESTRICT information,
        float* RESTRICT residual, float scale, float noise, float largest, float longest, int iterations,
        Index echo, Index n),
       (magnitude, mask, times, r2star, t2star, s0, information, residual, scale, noise, largest, longest,
        iterations, echo, n)) {
  enum { S0, RATE, SUM, STEP0, STEP1, INFORMATION, TRIAL, N00, N01, N11, G0, G1, NUMBERS };
  PRIVATE(float, s, NUMBERS);
  float variance = noise * noise, per_variance = 1.0f / fmax2(variance, 1e-30f),
        floor = noise > 0.0f ? 1.0f : 0.0f;
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES);
    TILE_FOR(l, count) {
      AT(s, S0, l) = scale * s0[first + l];
      AT(s, RATE, l) = r2star[first + l];
      AT(s, SUM, l) = 1e30f;
      AT(s, STEP0, l) = AT(s, STEP1, l) = AT(s, INFORMATION, l) = 0.0f;
    }
    for (int iteration = 0; iteration <= iterations; ++iteration) {
      for (int j = TRIAL; j < NUMBERS; ++j)
        FOR_LANES(l) AT(s, j, l) = 0.0f;
      for (Index e = 0; e < echo; ++e) {
        const float* m = magnitude + e * n + first;
        float time = times[e];
        TILE_FOR(l, count) {
          float rate = clampf(AT(s, RATE, l) + AT(s, STEP1, l), 0.0f, largest), decay = fexp(-rate * time);
          float clean = fmax2(AT(s, S0, l) + AT(s, STEP0, l), 0.0f) * decay;
          float y = fmin2(clean * clean * per_variance, 1e6f);
          float below = rician_denominator(y), ratio = rician_numerator(y) / below;
          float mean = fsqrt(clean * clean + variance * (1.0f + EXCESS * ratio));
          float change = floor * EXCESS * (0.131721f - ratio * (0.473976f + 0.300764f * y)) / below;
          float slope = clean * (1.0f + change) / fmax2(mean, 1e-20f);
          float d0 = slope * decay, d1 = -slope * clean * time, error = scale * m[l] - mean;
          AT(s, TRIAL, l) += error * error;
          AT(s, N00, l) += d0 * d0;
          AT(s, N01, l) += d0 * d1;
          AT(s, N11, l) += d1 * d1;
          AT(s, G0, l) += d0 * error;
          AT(s, G1, l) += d1 * error;
        }
      }
      TILE_FOR(l, count) {
        int better = AT(s, TRIAL, l) < AT(s, SUM, l);
        float a = AT(s, N00, l), b = AT(s, N01, l), d = AT(s, N11, l);
        float inverse = 1.0f / fmax2(a * d - b * b, 1e-30f);
        float step0 = (d * AT(s, G0, l) - b * AT(s, G1, l)) * inverse;
        float step1 = (a * AT(s, G1, l) - b * AT(s, G0, l)) * inverse;
        float s0_tried = fmax2(AT(s, S0, l) + AT(s, STEP0, l), 0.0f);
        float rate_tried = clampf(AT(s, RATE, l) + AT(s, STEP1, l), 0.0f, largest);
        float known = fmax2(d - b * b / fmax2(a, 1e-30f), 0.0f);
        AT(s, S0, l) = better ? s0_tried : AT(s, S0, l);
        AT(s, RATE, l) = better ? rate_tried : AT(s, RATE, l);
        AT(s, SUM, l) = better ? AT(s, TRIAL, l) : AT(s, SUM, l);
        AT(s, STEP0, l) = better ? step0 : 0.25f * AT(s, STEP0, l);
        AT(s, STEP1, l) = better ? step1 : 0.25f * AT(s, STEP1, l);
        AT(s, INFORMATION, l) = better ? known : AT(s, INFORMATION, l);
      }
    }
    const u8* inside = mask + first;
    float *rate = r2star + first, *time = t2star + first, *signal = s0 + first;
    float *to_information = information + first, *to_residual = residual + first;
    TILE_FOR(l, count) {
      Decay decay = bounded_decay(AT(s, RATE, l), AT(s, S0, l) / scale, inside[l], longest);
      rate[l] = decay.r2star;
      time[l] = decay.t2star;
      signal[l] = decay.s0;
      to_information[l] = inside[l] ? AT(s, INFORMATION, l) : 0.0f;
      to_residual[l] = inside[l] ? AT(s, SUM, l) : 0.0f;
    }
  }
}
