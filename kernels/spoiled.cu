// Spoiled gradient echoes at several flip angles: a common R2* over all echoes, then R1 and the amplitude.
// Volumes are ordered by flip angle; echoes[a] of them belong to angle a.
#include "vmath.h"

// Magnitude below which an echo contains no signal, relative to the largest of the image.
#define FAINT 1e-6f

enum { FIRST, WEIGHT, TIME, LOG, SPREAD, CROSS, SQUARE, SUMS };

// Sums over the echoes begin .. end of one flip angle with the weights w = (scale s)^2, the inverse variances
// of log s for unit noise: WEIGHT = sum w, TIME and LOG = weighted means of the echo time t and of y =
// log(scale s), SPREAD = sum w (t - TIME)^2, CROSS = sum w (t - TIME) (y - LOG), SQUARE = sum w (y - LOG)^2.
// Times and logarithms are summed relative to the first echo. The sums are the values at, at + 1, ... of s.
FN void echo_sums(const float* signal, const float* times, float* s, int at, float scale, Index n, int begin,
                  int end, int count) {
  float origin = times[begin];
  for (int j = at + WEIGHT; j < at + SUMS; ++j)
    TILE_FOR(l, count) { AT(s, j, l) = 0.0f; }
  TILE_FOR(l, count) { AT(s, at + FIRST, l) = flog(fmax2(scale * signal[begin * n + l], FAINT)); }
  for (int e = begin; e < end; ++e) {
    const float* m = signal + e * n;
    float time = times[e] - origin;
    TILE_FOR(l, count) {
      float size = fmax2(scale * m[l], FAINT), w = size * size, y = flog(size) - AT(s, at + FIRST, l);
      AT(s, at + WEIGHT, l) += w;
      AT(s, at + TIME, l) += w * time;
      AT(s, at + LOG, l) += w * y;
      AT(s, at + SPREAD, l) += w * time * time;
      AT(s, at + CROSS, l) += w * time * y;
      AT(s, at + SQUARE, l) += w * y * y;
    }
  }
  TILE_FOR(l, count) {
    float inverse = 1.0f / AT(s, at + WEIGHT, l);
    float late = AT(s, at + TIME, l) * inverse, mean = AT(s, at + LOG, l) * inverse;
    AT(s, at + SPREAD, l) = fmax2(AT(s, at + SPREAD, l) - AT(s, at + TIME, l) * late, 0.0f);
    AT(s, at + CROSS, l) -= AT(s, at + TIME, l) * mean;
    AT(s, at + SQUARE, l) = fmax2(AT(s, at + SQUARE, l) - AT(s, at + LOG, l) * mean, 0.0f);
    AT(s, at + TIME, l) = origin + late;
    AT(s, at + LOG, l) = AT(s, at + FIRST, l) + mean;
  }
}

// ESTATICS: weighted linear fit of log s over all echoes with one slope -R2* and an intercept for each flip
// angle. R2* is clamped to 0 .. largest [1/s]; information = 1 / variance of R2* for unit noise of the scaled
// signal [s^2]; residual = sum w (log s - fit)^2. All 0 outside the mask and without signal.
KERNEL(spoiled_decay,
       (const float* RESTRICT signal, const u8* RESTRICT mask, const float* RESTRICT times,
        const int* RESTRICT echoes, float* RESTRICT r2star, float* RESTRICT information,
        float* RESTRICT residual, float scale, float largest, Index volume, Index n, Index angle),
       (signal, mask, times, echoes, r2star, information, residual, scale, largest, volume, n, angle)) {
  enum { POWER, BEND, KNOWN, REST, NUMBERS };
  PRIVATE(float, s, SUMS);
  PRIVATE(float, v, NUMBERS);
  float faint = 4.0f * (float)volume * FAINT * FAINT;
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), any = 0;
    const u8* inside = mask + first;
    ANY_LANE(any, l, l < count && inside[l]);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = 0.0f;
    for (int a = 0, begin = 0; a < angle && any; begin += echoes[a], ++a) {
      echo_sums(signal + first, times, s, 0, scale, n, begin, begin + echoes[a], count);
      TILE_FOR(l, count) {
        AT(v, POWER, l) += AT(s, WEIGHT, l);
        AT(v, BEND, l) += AT(s, CROSS, l);
        AT(v, KNOWN, l) += AT(s, SPREAD, l);
        AT(v, REST, l) += AT(s, SQUARE, l);
      }
    }
    float *rate = r2star + first, *known = information + first, *rest = residual + first;
    TILE_FOR(l, count) {
      int seen = inside[l] && AT(v, POWER, l) > faint;
      float slope = clampf(-AT(v, BEND, l) / fmax2(AT(v, KNOWN, l), 1e-30f), 0.0f, largest);
      float left = AT(v, REST, l) + slope * (2.0f * AT(v, BEND, l) + slope * AT(v, KNOWN, l));
      rate[l] = seen ? slope : 0.0f;
      known[l] = seen ? AT(v, KNOWN, l) : 0.0f;
      rest[l] = seen ? fmax2(left, 0.0f) : 0.0f;
    }
  }
}

// tanh(y) / y for y >= 0: a series where 1 - exp(-2 y) would lose digits.
FN float tanh_ratio(float y) {
  float q = y * y, e = fexp(-2.0f * y);
  float series = 0.133333333f + q * (-0.0539682540f + q * 0.0218694885f);
  series = 1.0f + q * (-0.333333333f + q * series);
  return y < 0.25f ? series : (1.0f - e) / ((1.0f + e) * fmax2(y, 0.25f));
}

// Steady state of one flip angle. With half = tan(flip / 2) and tau = tanh(TR R1 / 2) the signal per unit
// amplitude, sin(flip) (1 - E1) / (1 - E1 cos(flip)), is 2 half tau / (tau + half^2). slope = d log(signal) / d
// R1; apparent = 2 tau / R1, which tends to TR for TR R1 -> 0.
struct Steady {
  float signal, slope, apparent;
};
FN Steady steady_state(float half, float tr, float r1) {
  float y = 0.5f * tr * r1, ratio = tanh_ratio(y), tau = y * ratio, square = half * half, sum = tau + square;
  Steady state = {2.0f * half * tau / sum, 0.5f * tr * (1.0f - tau * tau) * square / (tau * sum), tr * ratio};
  return state;
}

// Flip angles whose sums are kept from one pass to the next; the registers of a GPU hold those of a single one.
#define KEPT_ANGLES TILE_PICK(8, 1)

enum { HALF = SUMS, SIZE0, VALUES, KEPT_VALUES = KEPT_ANGLES * VALUES };

// Values of one flip angle that do not depend on R1: those of echo_sums, HALF = tan(b1 flip / 2) and SIZE0, the
// signal at t = 0.
FN void angle_values(const float* signal, const float* times, const float* b1, const float* decay, float* s,
                     int at, float scale, float flip, float with_decay, Index n, int begin, int end,
                     int count) {
  echo_sums(signal, times, s, at, scale, n, begin, end, count);
  TILE_FOR(l, count) {
    float angle = b1[l] * flip;
    AT(s, at + HALF, l) = fsin(angle) / fmax2(1.0f + fcos(angle), 1e-6f);
    AT(s, at + SIZE0, l) = fexp(AT(s, at + LOG, l) + with_decay * decay[l] * AT(s, at + TIME, l));
  }
}

// R1 and amplitude A of s = A f(R1) exp(-r2star t) with f = steady_state.signal at the flip angles b1 flip
// [rad], from the signals S_a extrapolated to t = 0; with decays = 0 from those at the mean echo time.   Line:
// `passes` of the weighted linear fit S / (2 half) = A - z / R1, z = S half / apparent, with apparent and the
// weights (W / S^2) f^2 of the pass before. Through two points it is exact.   Search: `steps` of Gauss-Newton
// from there for the least sum (W / S^2) (S - A f)^2. A step that does not decrease the     sum is rejected and
// a quarter of it is tried next. R1 is clamped to lowest .. highest. Where no flip angle has two echoes, r2star
// counts as free of noise. r1_variance [1/s^2] and log_variance, that of log A, are first-order variances for
// unit noise of the scaled signal; residual = sum w (log s - fit)^2, with decays = 0 over the means of the flip
// angles. All 0 outside the mask and without signal.
KERNEL(spoiled_fit,
       (const float* RESTRICT signal, const u8* RESTRICT mask, const float* RESTRICT b1,
        const float* RESTRICT r2star, const float* RESTRICT times, const int* RESTRICT echoes,
        const float* RESTRICT flips, const float* RESTRICT repetitions, float* RESTRICT r1,
        float* RESTRICT amplitude, float* RESTRICT r1_variance, float* RESTRICT log_variance,
        float* RESTRICT residual, float scale, float lowest, float highest, int passes, int steps, int decays,
        Index volume, Index n, Index angle),
       (signal, mask, b1, r2star, times, echoes, flips, repetitions, r1, amplitude, r1_variance, log_variance,
        residual, scale, lowest, highest, passes, steps, decays, volume, n, angle)) {
  enum { RATE, SIZE, BEST, STEP0, STEP1, KEPT };
  enum { U0 = KEPT, Z0, W, WU, WZ, WZZ, WUZ, LINE };
  enum { TRIAL = KEPT, N00, N01, N11, G0, G1, SEARCH };
  enum { POWER = KEPT, BEND, BEND2, LATE, LATE_BEND, KNOWN, REST, NUMBERS };
  PRIVATE(float, s, KEPT_VALUES);
  PRIVATE(float, v, NUMBERS);
  int keeps = KEPT_ANGLES > 1 && angle <= KEPT_ANGLES;
  float with_decay = decays ? 1.0f : 0.0f, faint = 4.0f * (float)volume * FAINT * FAINT;
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), any = 0, ready = 0;
    const float *x = signal + first, *b = b1 + first, *decay = r2star + first;
    const u8* inside = mask + first;
    ANY_LANE(any, l, l < count && inside[l]);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = j == RATE ? 1.0f : j == BEST ? 1e30f : 0.0f;
    for (int pass = 0; pass < passes && any; ++pass) {
      for (int j = KEPT; j < LINE; ++j)
        TILE_FOR(l, count) { AT(v, j, l) = 0.0f; }
      for (int a = 0, begin = 0; a < angle; begin += echoes[a], ++a) {
        int at = keeps ? a * VALUES : 0;
        if (!ready)
          angle_values(x, times, b, decay, s, at, scale, flips[a], with_decay, n, begin, begin + echoes[a],
                       count);
        float tr = repetitions[a];
        int fresh = a == 0;
        TILE_FOR(l, count) {
          Steady state = steady_state(AT(s, at + HALF, l), tr, AT(v, RATE, l));
          float size = AT(s, at + SIZE0, l);
          float half = AT(s, at + HALF, l), u = 0.5f * size / half, z = size * half / state.apparent;
          AT(v, U0, l) = fresh ? u : AT(v, U0, l);
          AT(v, Z0, l) = fresh ? z : AT(v, Z0, l);
          float share = state.signal / size, w = AT(s, at + WEIGHT, l) * share * share;
          float du = u - AT(v, U0, l), dz = z - AT(v, Z0, l);
          AT(v, W, l) += w;
          AT(v, WU, l) += w * du;
          AT(v, WZ, l) += w * dz;
          AT(v, WZZ, l) += w * dz * dz;
          AT(v, WUZ, l) += w * du * dz;
        }
      }
      ready = keeps;
      TILE_FOR(l, count) {
        float inverse = 1.0f / AT(v, W, l), u = AT(v, WU, l) * inverse, z = AT(v, WZ, l) * inverse;
        float spread = AT(v, WZZ, l) - z * AT(v, WZ, l), fall = z * AT(v, WU, l) - AT(v, WUZ, l);
        float rate = fall * highest > spread ? spread / fmax2(fall, 1e-30f) : highest;
        AT(v, RATE, l) = clampf(rate, lowest, highest);
        AT(v, SIZE, l) = AT(v, U0, l) + u + (AT(v, Z0, l) + z) / AT(v, RATE, l);
      }
    }
    for (int step = 0; step < steps && any; ++step) {
      for (int j = KEPT; j < SEARCH; ++j)
        TILE_FOR(l, count) { AT(v, j, l) = 0.0f; }
      for (int a = 0, begin = 0; a < angle; begin += echoes[a], ++a) {
        int at = keeps ? a * VALUES : 0;
        if (!ready)
          angle_values(x, times, b, decay, s, at, scale, flips[a], with_decay, n, begin, begin + echoes[a],
                       count);
        float tr = repetitions[a];
        TILE_FOR(l, count) {
          float tried = fmax2(AT(v, SIZE, l) + AT(v, STEP0, l), 0.0f);
          float rate = clampf(AT(v, RATE, l) + AT(v, STEP1, l), lowest, highest);
          Steady state = steady_state(AT(s, at + HALF, l), tr, rate);
          float size = AT(s, at + SIZE0, l);
          float w = AT(s, at + WEIGHT, l) / (size * size), error = size - tried * state.signal;
          float d0 = state.signal, d1 = tried * state.signal * state.slope;
          AT(v, TRIAL, l) += w * error * error;
          AT(v, N00, l) += w * d0 * d0;
          AT(v, N01, l) += w * d0 * d1;
          AT(v, N11, l) += w * d1 * d1;
          AT(v, G0, l) += w * d0 * error;
          AT(v, G1, l) += w * d1 * error;
        }
      }
      TILE_FOR(l, count) {
        int better = AT(v, TRIAL, l) < AT(v, BEST, l);
        float a = AT(v, N00, l), c = AT(v, N01, l), d = AT(v, N11, l);
        float inverse = 1.0f / fmax2(a * d - c * c, 1e-30f);
        float step0 = (d * AT(v, G0, l) - c * AT(v, G1, l)) * inverse;
        float step1 = (a * AT(v, G1, l) - c * AT(v, G0, l)) * inverse;
        float size = fmax2(AT(v, SIZE, l) + AT(v, STEP0, l), 0.0f);
        float rate = clampf(AT(v, RATE, l) + AT(v, STEP1, l), lowest, highest);
        AT(v, SIZE, l) = better ? size : AT(v, SIZE, l);
        AT(v, RATE, l) = better ? rate : AT(v, RATE, l);
        AT(v, BEST, l) = better ? AT(v, TRIAL, l) : AT(v, BEST, l);
        AT(v, STEP0, l) = better ? step0 : 0.25f * AT(v, STEP0, l);
        AT(v, STEP1, l) = better ? step1 : 0.25f * AT(v, STEP1, l);
      }
    }
    for (int j = KEPT; j < NUMBERS; ++j)
      TILE_FOR(l, count) { AT(v, j, l) = 0.0f; }
    for (int a = 0, begin = 0; a < angle && any; begin += echoes[a], ++a) {
      int at = keeps ? a * VALUES : 0;
      if (!ready)
        angle_values(x, times, b, decay, s, at, scale, flips[a], with_decay, n, begin, begin + echoes[a],
                     count);
      float tr = repetitions[a];
      TILE_FOR(l, count) {
        Steady state = steady_state(AT(s, at + HALF, l), tr, AT(v, RATE, l));
        float w = AT(s, at + WEIGHT, l), late = with_decay * AT(s, at + TIME, l), rate = with_decay * decay[l];
        float off = AT(s, at + LOG, l) + decay[l] * late - flog(fmax2(AT(v, SIZE, l) * state.signal, 1e-30f));
        float within =
            AT(s, at + SQUARE, l) + rate * (2.0f * AT(s, at + CROSS, l) + rate * AT(s, at + SPREAD, l));
        AT(v, POWER, l) += w;
        AT(v, BEND, l) += w * state.slope;
        AT(v, BEND2, l) += w * state.slope * state.slope;
        AT(v, LATE, l) += w * late;
        AT(v, LATE_BEND, l) += w * late * state.slope;
        AT(v, KNOWN, l) += AT(s, at + SPREAD, l);
        AT(v, REST, l) += w * off * off + with_decay * fmax2(within, 0.0f);
      }
    }
    float *to_r1 = r1 + first, *to_amplitude = amplitude + first, *to_residual = residual + first;
    float *to_r1_variance = r1_variance + first, *to_log_variance = log_variance + first;
    TILE_FOR(l, count) {
      int seen = inside[l] && AT(v, POWER, l) > faint && AT(v, SIZE, l) > 0.0f;
      float power = fmax2(AT(v, POWER, l), 1e-30f), mean = AT(v, BEND, l) / power,
            late = AT(v, LATE, l) / power;
      float known = 1.0f / fmax2(AT(v, BEND2, l) - mean * AT(v, BEND, l), 1e-30f);
      float tilt = (AT(v, LATE_BEND, l) - mean * AT(v, LATE, l)) * known, rest = late - mean * tilt;
      float decay_variance = AT(v, KNOWN, l) > 0.0f ? with_decay / AT(v, KNOWN, l) : 0.0f;
      to_r1[l] = seen ? AT(v, RATE, l) : 0.0f;
      to_amplitude[l] = seen ? AT(v, SIZE, l) / scale : 0.0f;
      to_r1_variance[l] = seen ? known + tilt * tilt * decay_variance : 0.0f;
      to_log_variance[l] = seen ? 1.0f / power + mean * mean * known + rest * rest * decay_variance : 0.0f;
      to_residual[l] = seen ? AT(v, REST, l) : 0.0f;
    }
  }
}
