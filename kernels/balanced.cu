// Fit of R2 to the magnitudes of balanced steady-state free precession.
#include "vmath.h"

// Half-width of the bands without usable signal [rad of precession per repetition time].
#define BAND (0.4f * PI_F)

// 1 - exp(-y) for y >= 0 without cancellation.
FN float one_minus_exp(float y) {
  float series =
      y * (1.0f - y * (1.0f / 2.0f) *
                      (1.0f - y * (1.0f / 3.0f) * (1.0f - y * (1.0f / 4.0f) * (1.0f - y * (1.0f / 5.0f)))));
  return y < 0.2f ? series : 1.0f - fexp(-y);
}

// Signal of balanced steady-state free precession per unit amplitude, with E1 = exp(-tr r1), E2 = exp(-tr r2), and the
// cosine of the precession per repetition time, at the time te after the pulse:
//   (1 - E1) sin(flip) sqrt(1 - 2 E2 cosine + E2^2) / D exp(-te r2),
//   D = (1 - E1 cos(flip)) (1 - E2 cosine) - E2 (E1 - cos(flip)) (E2 - cosine).
// slope = d log(signal) / d log(r2).
struct Balanced {
  float signal, slope;
};
FN Balanced balanced_state(float flip, float tr, float te, float r1, float r2, float cosine) {
  float lost1 = one_minus_exp(tr * r1), y = tr * r2, lost2 = one_minus_exp(y), e2 = 1.0f - lost2;
  float half = fsin(0.5f * flip), apart = 2.0f * half * half - lost1, open = lost1 * (1.0f + fcos(flip));
  float square = lost2 * lost2 + 2.0f * e2 * (1.0f - cosine);
  float below = apart * lost2 * (1.0f + e2) + open * (1.0f - e2 * cosine);
  float inverse = 1.0f / fmax2(below, 1e-12f), size = fmax2(square, 1e-12f);
  float change = (e2 - cosine) / size + (2.0f * e2 * apart + open * cosine) * inverse;
  Balanced state = {lost1 * fsin(flip) * fsqrt(size) * inverse * fexp(-te * r2), -y * e2 * change - te * r2};
  return state;
}

// R2 and amplitude A for which A balanced_state(...).signal is closest to the scaled signal at the flip angles b1 flips
// [rad] and the precession increments + 2 pi repetitions field, field [Hz]. An image is left out of a voxel where the
// precession is less than BAND from a multiple of 2 pi. The best of `starts` rates between lowest and highest is the
// start; then `steps` of Gauss-Newton over log(r2), with A projected out or, with_amplitude, known. A step that
// increases the sum of squares by more than its rounding is rejected and a quarter of it is tried next. used = images
// that took part; variance = that of log(r2) for unit noise of the scaled signal; residual = the sum of squares. All 0
// outside the mask, without signal, and with fewer than `fewest` images.
KERNEL(balanced_fit,
       (const float* RESTRICT signal, const u8* RESTRICT mask, const float* RESTRICT r1,
        const float* RESTRICT b1, const float* RESTRICT field, const float* RESTRICT known,
        const float* RESTRICT flips, const float* RESTRICT increments, const float* RESTRICT repetitions,
        const float* RESTRICT times, float* RESTRICT r2, float* RESTRICT amplitude, float* RESTRICT variance,
        float* RESTRICT residual, float* RESTRICT used, float scale, float lowest, float highest,
        int with_amplitude, int fewest, int starts, int steps, Index volume, Index n),
       (signal, mask, r1, b1, field, known, flips, increments, repetitions, times, r2, amplitude, variance,
        residual, used, scale, lowest, highest, with_amplitude, fewest, starts, steps, volume, n)) {
  enum { RATE, STEP, BEST, SIZE, SPREAD, POWER, USED, KEPT };
  enum { FF = KEPT, FS, FG, GG, GS, NUMBERS };
  PRIVATE(float, v, NUMBERS);
  float low = flog(lowest), high = flog(highest), spacing = (high - low) / (float)(starts - 1);
  float free_size = with_amplitude ? 0.0f : 1.0f;
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), any = 0;
    const float *x = signal + first, *rate1 = r1 + first, *ratio = b1 + first, *shift = field + first;
    const float* given = known + first;
    const u8* inside = mask + first;
    ANY_LANE(any, l, l < count && inside[l]);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = j == BEST ? 1e30f : 0.0f;
    for (int try_ = 0; try_ < starts + steps + 1 && any; ++try_) {
      int searching = try_ < starts;
      float place = low + spacing * (float)try_;
      for (int j = FF; j < NUMBERS; ++j)
        TILE_FOR(l, count) { AT(v, j, l) = 0.0f; }
      TILE_FOR(l, count) {
        AT(v, POWER, l) = 0.0f;
        AT(v, USED, l) = 0.0f;
      }
      for (Index k = 0; k < volume; ++k) {
        const float* image = x + k * n;
        float flip = flips[k], increment = increments[k], tr = repetitions[k], te = times[k];
        TILE_FOR(l, count) {
          float angle = wrap(increment + TWO_PI_F * tr * shift[l]);
          float weight = fabs1(angle) > BAND ? 1.0f : 0.0f;
          float p = searching ? place : clampf(AT(v, RATE, l) + AT(v, STEP, l), low, high);
          Balanced state = balanced_state(ratio[l] * flip, tr, te, rate1[l], fexp(p), fcos(angle));
          float s = scale * image[l], f = weight * state.signal, g = f * state.slope;
          AT(v, USED, l) += weight;
          AT(v, POWER, l) += weight * s * s;
          AT(v, FF, l) += f * f;
          AT(v, FS, l) += f * s;
          AT(v, FG, l) += f * g;
          AT(v, GG, l) += g * g;
          AT(v, GS, l) += g * s;
        }
      }
      TILE_FOR(l, count) {
        float inverse = 1.0f / fmax2(AT(v, FF, l), 1e-30f);
        float size = with_amplitude ? scale * given[l] : AT(v, FS, l) * inverse;
        float rest = fmax2(AT(v, POWER, l) - 2.0f * size * AT(v, FS, l) + size * size * AT(v, FF, l), 0.0f);
        float hold = fmax2(AT(v, GG, l) - free_size * AT(v, FG, l) * AT(v, FG, l) * inverse, 0.0f);
        float known_part = fmax2(hold * size * size, 1e-20f);
        float pull = size * (AT(v, GS, l) - size * AT(v, FG, l));
        float slack = searching ? 0.0f : 1e-6f * AT(v, POWER, l);
        float p = searching ? place : clampf(AT(v, RATE, l) + AT(v, STEP, l), low, high);
        int better = rest < AT(v, BEST, l) + slack;
        float step = clampf(pull / known_part, -0.7f, 0.7f);
        AT(v, RATE, l) = better ? p : AT(v, RATE, l);
        AT(v, SIZE, l) = better ? size : AT(v, SIZE, l);
        AT(v, SPREAD, l) = better ? 1.0f / known_part : AT(v, SPREAD, l);
        AT(v, BEST, l) = better ? rest : AT(v, BEST, l);
        AT(v, STEP, l) = better ? step : searching ? AT(v, STEP, l) : 0.25f * AT(v, STEP, l);
      }
    }
    float *to_r2 = r2 + first, *to_amplitude = amplitude + first, *to_variance = variance + first;
    float *to_residual = residual + first, *to_used = used + first;
    TILE_FOR(l, count) {
      int enough = inside[l] && AT(v, USED, l) > (float)fewest - 0.5f;
      int seen = enough && AT(v, POWER, l) > 1e-10f && AT(v, SIZE, l) > 0.0f;
      to_r2[l] = seen ? fexp(AT(v, RATE, l)) : 0.0f;
      to_amplitude[l] = seen ? AT(v, SIZE, l) / scale : 0.0f;
      to_variance[l] = seen ? AT(v, SPREAD, l) : 0.0f;
      to_residual[l] = seen ? AT(v, BEST, l) : 0.0f;
      to_used[l] = inside[l] ? AT(v, USED, l) : 0.0f;
    }
  }
}
