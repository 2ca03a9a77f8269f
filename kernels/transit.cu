// Fits of transit models to perfusion curves. Times are in frames.
#include "least_squares.h"

#define SETTLED 1e-5f

// Weights of a cubic on [0, 1] by its values and slopes at both ends: value = first + rise (last - first) + early slope_0
// + late slope_1, and its derivative with turning, rising, falling.
enum { RISE, EARLY, LATE, TURNING, RISING, FALLING, CUBICS };
FN void cubic_weights(float w, float out[CUBICS]) {
  float rest = 1.0f - w;
  out[RISE] = w * w * (3.0f - 2.0f * w);
  out[EARLY] = w * rest * rest;
  out[LATE] = -w * w * rest;
  out[TURNING] = 6.0f * w * rest;
  out[RISING] = rest * (1.0f - 3.0f * w);
  out[FALLING] = w * (3.0f * w - 2.0f);
}

// Values of a node: the curve, its derivatives with respect to time and to the row, and the mixed second derivative.
enum { VALUE, SLOPE, GROWTH, TWIST, PARTS };

// Curve flow c(i - delay; transit). nodes_(r,k) holds c for unit flow and its derivatives at log transit = lowest + r width
// and the time k - margin; between nodes, c is cubic in both. Levenberg-Marquardt in flow, log transit and delay from the
// best of `starts` (row, delay). log transit and delay have Gaussian priors about `middle` and `arrival`: the least
// value of sum of squares * exp(held (log transit - middle)^2 + tied (delay - arrival)^2) is found, the mode for noise of
// unknown size if `held` and `tied` are the inverse variances of the priors over the degrees of freedom; 0 leaves a
// prior out. misfit = the final sum of squares, power = that of the curve; variances are those for unit noise, of the
// logarithm for the transit. All 0 outside the mask, and for curves that no start explains. A voxel is done when a step
// changes the value by less than SETTLED of it.
KERNEL(transit_fit,
       (const float* RESTRICT change, const u8* RESTRICT mask, const float* RESTRICT nodes,
        const int* RESTRICT starts, const float* RESTRICT middle, const float* RESTRICT arrival,
        float* RESTRICT flow, float* RESTRICT transit, float* RESTRICT delay, float* RESTRICT misfit,
        float* RESTRICT power, float* RESTRICT flow_variance, float* RESTRICT transit_variance,
        float* RESTRICT delay_variance, float lowest, float width, float held, float tied, float shortest,
        float longest, float earliest, float latest, int margin, int iterations, Index frame, Index n,
        Index row, Index node, Index start),
       (change, mask, nodes, starts, middle, arrival, flow, transit, delay, misfit, power, flow_variance,
        transit_variance, delay_variance, lowest, width, held, tied, shortest, longest, earliest, latest,
        margin, iterations, frame, n, row, node, start)) {
  enum { FLOW, TRANSIT, DELAY, UNKNOWNS, MATRIX = UNKNOWNS * (UNKNOWNS + 1) / 2 };
  enum { MOST, POWER, NUMBERS };
  PRIVATE(float, v, NUMBERS);
  PRIVATE(float, later, CUBICS);
  PRIVATE(float, longer, CUBICS);
  PRIVATE(float, ends, 2 * PARTS);
  PRIVATE(float, was, PARTS);
  PRIVATE(float, is, PARTS);
  PRIVATE(int, place, 1);
  PRIVATE(float, at, UNKNOWNS);
  PRIVATE(float, step, UNKNOWNS);
  PRIVATE(float, next, UNKNOWNS);
  PRIVATE(float, scale, UNKNOWNS);
  PRIVATE(float, gradient, UNKNOWNS);
  PRIVATE(float, pull, UNKNOWNS);
  PRIVATE(float, normal, MATRIX);
  PRIVATE(float, known, MATRIX);
  PRIVATE(float, factor, MATRIX);
  PRIVATE(float, sum, 1);
  PRIVATE(float, trial, 1);
  PRIVATE(float, plain, 1);
  PRIVATE(float, kept_sum, 1);
  PRIVATE(float, damping, 1);
  PRIVATE(float, accepted, 1);
  PRIVATE(float, moving, 1);
  PRIVATE(float, before, 1);
  PRIVATE(float, variance, UNKNOWNS);
  float least = flog(shortest), most = flog(longest);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index begin = t * TILE_LANES;
    int count = (int)(n - begin < TILE_LANES ? n - begin : TILE_LANES), any = 0;
    const float* x = change + begin;
    const u8* inside = mask + begin;
    const float *expected = middle + begin, *usual = arrival + begin;
    float *to_flow = flow + begin, *to_transit = transit + begin, *to_delay = delay + begin;
    float *to_misfit = misfit + begin, *to_power = power + begin, *to_flow_variance = flow_variance + begin;
    float *to_transit_variance = transit_variance + begin, *to_delay_variance = delay_variance + begin;
    ANY_LANE(any, l, l < count && inside[l]);
    int some = any;
    TILE_FOR(l, count) {
      AT(moving, 0, l) = inside[l] ? 1.0f : 0.0f;
      AT(sum, 0, l) = 1e30f;
      AT(damping, 0, l) = 1e-2f;
      AT(kept_sum, 0, l) = AT(v, POWER, l) = 0.0f;
      AT(v, MOST, l) = 0.0f;
    }
    for (int j = 0; j < UNKNOWNS; ++j)
      TILE_FOR(l, count) { AT(at, j, l) = AT(step, j, l) = AT(pull, j, l) = AT(variance, j, l) = 0.0f; }
    for (int j = 0; j < MATRIX; ++j)
      TILE_FOR(l, count) { AT(known, j, l) = 0.0f; }
    for (Index i = 0; i < frame && any; ++i)
      TILE_FOR(l, count) { AT(v, POWER, l) += x[i * n + l] * x[i * n + l]; }
    for (Index s = 0; s < start && any; ++s) {
      int level = starts[2 * s], shift = starts[2 * s + 1];
      const float* c = nodes + PARTS * ((Index)level * node + margin - shift);
      float size = 1e-30f;
      TILE_FOR(l, count) { AT(trial, 0, l) = 0.0f; }
      for (Index i = 0; i < frame; ++i) {
        float z = c[PARTS * i + VALUE];
        size += z * z;
        TILE_FOR(l, count) { AT(trial, 0, l) += z * x[i * n + l]; }
      }
      TILE_FOR(l, count) {
        float along = AT(trial, 0, l), explained = along * along / size;
        int better = along > 0.0f && explained > AT(v, MOST, l);
        AT(v, MOST, l) = better ? explained : AT(v, MOST, l);
        AT(at, FLOW, l) = better ? along / size : AT(at, FLOW, l);
        AT(at, TRANSIT, l) = better ? lowest + width * (float)level : AT(at, TRANSIT, l);
        AT(at, DELAY, l) = better ? (float)shift : AT(at, DELAY, l);
      }
    }
    for (int iteration = 0; iteration <= iterations && any; ++iteration) {
      TILE_FOR(l, count) {
        AT(next, FLOW, l) = AT(at, FLOW, l) + AT(step, FLOW, l);
        AT(next, TRANSIT, l) =
            clampf(AT(at, TRANSIT, l) + clampf(AT(step, TRANSIT, l), -1.0f, 1.0f), least, most);
        AT(next, DELAY, l) =
            clampf(AT(at, DELAY, l) + clampf(AT(step, DELAY, l), -2.0f, 2.0f), earliest, latest);
        float whole = ffloor(-AT(next, DELAY, l)), level = (AT(next, TRANSIT, l) - lowest) / width;
        float cell = clampf(ffloor(level), 0.0f, (float)(row - 2)), in_time[CUBICS], in_row[CUBICS];
        cubic_weights(-AT(next, DELAY, l) - whole, in_time);
        cubic_weights(level - cell, in_row);
        for (int k = 0; k < CUBICS; ++k) {
          AT(later, k, l) = in_time[k];
          AT(longer, k, l) = in_row[k];
        }
        AT(place, 0, l) = PARTS * ((int)cell * (int)node + (int)whole + margin);
        AT(trial, 0, l) = 0.0f;
      }
      for (int j = 0; j < MATRIX; ++j)
        TILE_FOR(l, count) { AT(normal, j, l) = 0.0f; }
      for (int j = 0; j < UNKNOWNS; ++j)
        TILE_FOR(l, count) { AT(gradient, j, l) = 0.0f; }
      for (Index i = -1; i < frame; ++i) {
        // apart from the arithmetic, which is then vectorised
        TILE_FOR(l, count) {
          const float *low = nodes + AT(place, 0, l), *high = low + PARTS * node;
          for (int k = 0; k < PARTS; ++k) {
            AT(ends, k, l) = low[k];
            AT(ends, PARTS + k, l) = high[k];
          }
          AT(place, 0, l) += PARTS;
        }
        for (int k = VALUE; k <= SLOPE; ++k)
          TILE_FOR(l, count) {
            float a = AT(ends, k, l), up = AT(ends, PARTS + k, l) - a;
            float first = AT(ends, k + GROWTH, l), last = AT(ends, PARTS + k + GROWTH, l);
            AT(is, k, l) =
                a + AT(longer, RISE, l) * up + AT(longer, EARLY, l) * first + AT(longer, LATE, l) * last;
            AT(is, k + GROWTH, l) =
                AT(longer, TURNING, l) * up + AT(longer, RISING, l) * first + AT(longer, FALLING, l) * last;
          }
        if (i >= 0) {
          TILE_FOR(l, count) {
            float height = AT(next, FLOW, l), up = AT(is, VALUE, l) - AT(was, VALUE, l);
            float more = AT(is, GROWTH, l) - AT(was, GROWTH, l);
            float d0 = AT(was, VALUE, l) + AT(later, RISE, l) * up + AT(later, EARLY, l) * AT(was, SLOPE, l) +
                       AT(later, LATE, l) * AT(is, SLOPE, l);
            float slope = AT(later, TURNING, l) * up + AT(later, RISING, l) * AT(was, SLOPE, l) +
                          AT(later, FALLING, l) * AT(is, SLOPE, l);
            float growth = AT(was, GROWTH, l) + AT(later, RISE, l) * more +
                           AT(later, EARLY, l) * AT(was, TWIST, l) + AT(later, LATE, l) * AT(is, TWIST, l);
            float d1 = height / width * growth, d2 = -height * slope, error = x[i * n + l] - height * d0;
            AT(trial, 0, l) += error * error;
            AT(gradient, FLOW, l) += d0 * error;
            AT(gradient, TRANSIT, l) += d1 * error;
            AT(gradient, DELAY, l) += d2 * error;
            AT(normal, LOWER(0, 0), l) += d0 * d0;
            AT(normal, LOWER(1, 0), l) += d1 * d0;
            AT(normal, LOWER(1, 1), l) += d1 * d1;
            AT(normal, LOWER(2, 0), l) += d2 * d0;
            AT(normal, LOWER(2, 1), l) += d2 * d1;
            AT(normal, LOWER(2, 2), l) += d2 * d2;
          }
        }
        for (int k = 0; k < PARTS; ++k)
          TILE_FOR(l, count) { AT(was, k, l) = AT(is, k, l); }
      }
      TILE_FOR(l, count) {
        float far = AT(next, TRANSIT, l) - expected[l], off = AT(next, DELAY, l) - usual[l];
        float size = AT(trial, 0, l);
        AT(plain, 0, l) = size;
        AT(before, 0, l) = AT(sum, 0, l);
        AT(trial, 0, l) = size * fexp(fmin2(held * far * far + tied * off * off, 60.0f));
        AT(gradient, TRANSIT, l) -= held * size * far;
        AT(gradient, DELAY, l) -= tied * size * off;
        AT(normal, LOWER(TRANSIT, TRANSIT), l) += held * size;
        AT(normal, LOWER(DELAY, DELAY), l) += tied * size;
      }
      judge_trial(normal, gradient, known, pull, trial, sum, damping, accepted, UNKNOWNS, count);
      for (int j = 0; j < UNKNOWNS; ++j)
        TILE_FOR(l, count) { AT(at, j, l) = AT(accepted, 0, l) > 0.0f ? AT(next, j, l) : AT(at, j, l); }
      TILE_FOR(l, count) {
        int better = AT(accepted, 0, l) > 0.0f;
        float moved = better ? AT(before, 0, l) - AT(sum, 0, l) : AT(trial, 0, l) - AT(sum, 0, l);
        int going = moved > SETTLED * AT(sum, 0, l) && AT(damping, 0, l) < 1e2f;
        AT(kept_sum, 0, l) = better ? AT(plain, 0, l) : AT(kept_sum, 0, l);
        AT(moving, 0, l) = going ? AT(moving, 0, l) : 0.0f;
      }
      factor_normal(known, factor, scale, damping, UNKNOWNS, count);
      solve_normal(factor, scale, pull, step, UNKNOWNS, count);
      for (int j = 0; j < UNKNOWNS; ++j)
        TILE_FOR(l, count) { AT(step, j, l) *= AT(moving, 0, l); }
      any = 0;
      ANY_LANE(any, l, l < count && AT(moving, 0, l) > 0.0f);
    }
    if (some) {
      TILE_FOR(l, count) { AT(damping, 0, l) = 0.0f; }
      factor_normal(known, factor, scale, damping, UNKNOWNS, count);
      for (int j = 0; j < UNKNOWNS; ++j) {
        inverse_diagonal(factor, scale, step, trial, j, UNKNOWNS, count);
        TILE_FOR(l, count) { AT(variance, j, l) = AT(trial, 0, l); }
      }
    }
    TILE_FOR(l, count) {
      int fitted = inside[l] && AT(v, MOST, l) > 0.0f;
      to_flow[l] = fitted ? AT(at, FLOW, l) : 0.0f;
      to_transit[l] = fitted ? fexp(AT(at, TRANSIT, l)) : 0.0f;
      to_delay[l] = fitted ? AT(at, DELAY, l) : 0.0f;
      to_misfit[l] = fitted ? AT(kept_sum, 0, l) : 0.0f;
      to_power[l] = inside[l] ? AT(v, POWER, l) : 0.0f;
      to_flow_variance[l] = fitted ? AT(variance, FLOW, l) : 0.0f;
      to_transit_variance[l] = fitted ? AT(variance, TRANSIT, l) : 0.0f;
      to_delay_variance[l] = fitted ? AT(variance, DELAY, l) : 0.0f;
    }
  }
}
