// Fits of transit models to perfusion curves. Times are in frames.
#include "least_squares.h"

#define SETTLED 1e-5f

// Curve flow sum_j a(i - j - delay) exp(-j / transit), less `corner` of the term j = 0: rectangles of the first value
// for corner = 0, trapezoids for 1/2. a(x) is the cubic with the values and slopes of two neighbouring `nodes`, floor(x)
// + margin and the next, in the fractional part of x. Levenberg-Marquardt in flow, log transit and delay from the best
// of `starts` (transit, delay). log transit and delay have Gaussian priors about `middle` and `arrival`: the least value
// of sum of squares * exp(held (log transit - middle)^2 + tied (delay - arrival)^2) is found, the mode for noise of
// unknown size if `held` and `tied` are the inverse variances of the priors over the degrees of freedom; 0 leaves a
// prior out. misfit = the final sum of squares, power = that of the curve; variances are those for unit noise, of the
// logarithm for the transit. All 0 outside the mask, and for curves that no start explains. A voxel is done when a step
// changes the value by less than SETTLED of it.
KERNEL(exponential_transit,
       (const float* RESTRICT change, const u8* RESTRICT mask, const float* RESTRICT nodes,
        const float* RESTRICT starts, const float* RESTRICT middle, const float* RESTRICT arrival,
        float* RESTRICT flow, float* RESTRICT transit, float* RESTRICT delay, float* RESTRICT misfit,
        float* RESTRICT power, float* RESTRICT flow_variance, float* RESTRICT transit_variance,
        float* RESTRICT delay_variance, float corner, float held, float tied, float shortest, float longest,
        float earliest, float latest, int margin, int iterations, Index frame, Index n, Index node,
        Index start),
       (change, mask, nodes, starts, middle, arrival, flow, transit, delay, misfit, power, flow_variance,
        transit_variance, delay_variance, corner, held, tied, shortest, longest, earliest, latest, margin,
        iterations, frame, n, node, start)) {
  enum { FLOW, TRANSIT, DELAY, UNKNOWNS, MATRIX = UNKNOWNS * (UNKNOWNS + 1) / 2 };
  enum { KEPT, SLOWED, MOVED, DECAY, RATE, SIZE, MOST, POWER, NUMBERS };
  enum { RISE, EARLY, LATE, RISING, FALLING, TURNING, BLENDS };
  PRIVATE(float, v, NUMBERS);
  PRIVATE(float, blend, BLENDS);
  PRIVATE(float, value, 1);
  PRIVATE(float, tangent, 1);
  PRIVATE(float, after, 2);
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
      float keeps = fexp(-1.0f / starts[2 * s]), shift = starts[2 * s + 1], whole = ffloor(-shift);
      float w = -shift - whole, log_transit = flog(starts[2 * s]), both = w * w * (3.0f - 2.0f * w);
      float early = w * (1.0f - w) * (1.0f - w), late = -w * w * (1.0f - w);
      TILE_FOR(l, count) { AT(v, KEPT, l) = AT(trial, 0, l) = AT(v, SIZE, l) = 0.0f; }
      for (Index i = 0; i < frame; ++i) {
        const float* c = nodes + 2 * (i + (Index)whole + margin);
        float a = c[0] + both * (c[2] - c[0]) + early * c[1] + late * c[3];
        TILE_FOR(l, count) {
          AT(v, KEPT, l) = keeps * AT(v, KEPT, l) + a;
          float z = AT(v, KEPT, l) - corner * a;
          AT(trial, 0, l) += z * x[i * n + l];
          AT(v, SIZE, l) += z * z;
        }
      }
      TILE_FOR(l, count) {
        float along = AT(trial, 0, l), size = fmax2(AT(v, SIZE, l), 1e-30f), explained = along * along / size;
        int better = along > 0.0f && explained > AT(v, MOST, l);
        AT(v, MOST, l) = better ? explained : AT(v, MOST, l);
        AT(at, FLOW, l) = better ? along / size : AT(at, FLOW, l);
        AT(at, TRANSIT, l) = better ? log_transit : AT(at, TRANSIT, l);
        AT(at, DELAY, l) = better ? shift : AT(at, DELAY, l);
      }
    }
    for (int iteration = 0; iteration <= iterations && any; ++iteration) {
      TILE_FOR(l, count) {
        AT(next, FLOW, l) = AT(at, FLOW, l) + AT(step, FLOW, l);
        AT(next, TRANSIT, l) =
            clampf(AT(at, TRANSIT, l) + clampf(AT(step, TRANSIT, l), -1.0f, 1.0f), least, most);
        AT(next, DELAY, l) =
            clampf(AT(at, DELAY, l) + clampf(AT(step, DELAY, l), -2.0f, 2.0f), earliest, latest);
        float whole = ffloor(-AT(next, DELAY, l)), w = -AT(next, DELAY, l) - whole, rest = 1.0f - w;
        AT(blend, RISE, l) = w * w * (3.0f - 2.0f * w);
        AT(blend, EARLY, l) = w * rest * rest;
        AT(blend, LATE, l) = -w * w * rest;
        AT(blend, RISING, l) = rest * (1.0f - 3.0f * w);
        AT(blend, FALLING, l) = w * (3.0f * w - 2.0f);
        AT(blend, TURNING, l) = 6.0f * w * rest;
        AT(place, 0, l) = 2 * ((int)whole + margin);
        AT(value, 0, l) = nodes[AT(place, 0, l)];
        AT(tangent, 0, l) = nodes[AT(place, 0, l) + 1];
        AT(v, RATE, l) = fexp(-AT(next, TRANSIT, l));
        AT(v, DECAY, l) = fexp(-AT(v, RATE, l));
        AT(v, KEPT, l) = AT(v, SLOWED, l) = AT(v, MOVED, l) = AT(trial, 0, l) = 0.0f;
      }
      for (int j = 0; j < MATRIX; ++j)
        TILE_FOR(l, count) { AT(normal, j, l) = 0.0f; }
      for (int j = 0; j < UNKNOWNS; ++j)
        TILE_FOR(l, count) { AT(gradient, j, l) = 0.0f; }
      for (Index i = 0; i < frame; ++i) {
        // apart from the arithmetic, which is then vectorised
        TILE_FOR(l, count) {
          AT(place, 0, l) += 2;
          AT(after, 0, l) = nodes[AT(place, 0, l)];
          AT(after, 1, l) = nodes[AT(place, 0, l) + 1];
        }
        TILE_FOR(l, count) {
          float y = AT(after, 0, l), m = AT(after, 1, l), was = AT(value, 0, l), went = AT(tangent, 0, l),
                rise = y - was;
          float decay = AT(v, DECAY, l), height = AT(next, FLOW, l);
          float a = was + AT(blend, RISE, l) * rise + AT(blend, EARLY, l) * went + AT(blend, LATE, l) * m;
          float slope = AT(blend, TURNING, l) * rise + AT(blend, RISING, l) * went + AT(blend, FALLING, l) * m;
          AT(value, 0, l) = y;
          AT(tangent, 0, l) = m;
          AT(v, SLOWED, l) = decay * (AT(v, SLOWED, l) + AT(v, RATE, l) * AT(v, KEPT, l));
          AT(v, KEPT, l) = decay * AT(v, KEPT, l) + a;
          AT(v, MOVED, l) = decay * AT(v, MOVED, l) - slope;
          float d0 = AT(v, KEPT, l) - corner * a, d1 = height * AT(v, SLOWED, l);
          float d2 = height * (AT(v, MOVED, l) + corner * slope), error = x[i * n + l] - height * d0;
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
