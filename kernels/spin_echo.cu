// Fit of a train of spin echoes by a table of simulated trains over T2 and B1.
#include "vmath.h"

// Cubic interpolation through the nodes -1, 0, 1, 2 at u in 0 .. 1, and its derivative.
struct Cubic {
  float w0, w1, w2, w3;
};
FN Cubic cubic_weights(float u) {
  float below = u + 1.0f, above = u - 1.0f, far = u - 2.0f;
  Cubic c = {u * above * far * (-1.0f / 6.0f), below * above * far * 0.5f, below * u * far * -0.5f,
             below * u * above * (1.0f / 6.0f)};
  return c;
}
FN Cubic cubic_slopes(float u) {
  float square = 3.0f * u * u;
  Cubic c = {(square - 6.0f * u + 2.0f) * (-1.0f / 6.0f), (square - 4.0f * u - 1.0f) * 0.5f,
             (square - 2.0f * u - 2.0f) * -0.5f, (square - 1.0f) * (1.0f / 6.0f)};
  return c;
}

// First of the four nodes around a place on an axis of `count` nodes.
FN int first_node(float place, int count) {
  int node = (int)place - 1;
  node = node < 0 ? 0 : node;
  return node > count - 4 ? count - 4 : node;
}

FN float cubic_sum(Cubic c, const float* row) {
  return c.w0 * row[0] + c.w1 * row[1] + c.w2 * row[2] + c.w3 * row[3];
}

// Places p on the axis of T2 and q on that of B1, in nodes, and the amplitude A for which A abs(table(p, q)) is closest
// to the scaled signal, a magnitude; table [echo decays fields] is interpolated by cubics. The best of every `stride`-th
// value of T2 and every `field_stride`-th of B1 is the start; then `steps` of Gauss-Newton with the amplitude projected
// out. A step that increases the sum of squares by more than its rounding is rejected and a quarter of it is tried next.
// q = field where with_field, else 0 .. highest. variance = that of p for unit noise of the scaled signal; residual =
// the sum of squares. All 0 outside the mask and without signal.
KERNEL(spin_echo_fit,
       (const float* RESTRICT signal, const u8* RESTRICT mask, const float* RESTRICT table,
        const float* RESTRICT field, float* RESTRICT decay, float* RESTRICT fitted, float* RESTRICT amplitude,
        float* RESTRICT variance, float* RESTRICT residual, float scale, float highest, int with_field,
        int stride, int field_stride, int steps, Index echo, Index n, Index decays, Index fields),
       (signal, mask, table, field, decay, fitted, amplitude, variance, residual, scale, highest, with_field,
        stride, field_stride, steps, echo, n, decays, fields)) {
  enum { P, Q, BEST, STEP_P, STEP_Q, POWER, SIZE, SPREAD, KEPT };
  enum { MM = KEPT, MS, MP, MQ, PP, QQ, PQ, PS, QS, NUMBERS };
  PRIVATE(float, v, NUMBERS);
  float free_field = with_field ? 0.0f : 1.0f, last = (float)(decays - 1), edge = (float)(fields - 1);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), any = 0;
    const float *x = signal + first, *b = field + first;
    const u8* inside = mask + first;
    ANY_LANE(any, l, l < count && inside[l]);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = 0.0f;
    for (Index e = 0; e < echo && any; ++e)
      TILE_FOR(l, count) { AT(v, POWER, l) += scale * x[e * n + l] * (scale * x[e * n + l]); }
    TILE_FOR(l, count) { AT(v, BEST, l) = -1.0f; }
    for (int i = 0; i < decays && any; i += stride)
      for (int j = 0; j < fields; j += field_stride) {
        for (int k = MM; k <= MS; ++k)
          TILE_FOR(l, count) { AT(v, k, l) = 0.0f; }
        for (Index e = 0; e < echo; ++e) {
          float m = fabs1(table[(e * decays + i) * fields + j]);
          TILE_FOR(l, count) {
            AT(v, MM, l) += m * m;
            AT(v, MS, l) += m * scale * x[e * n + l];
          }
        }
        float place = (float)j, half = 0.5f * (float)field_stride;
        TILE_FOR(l, count) {
          float explained = AT(v, MS, l) * AT(v, MS, l) / AT(v, MM, l), apart = fabs1(b[l] - place);
          int allowed = with_field ? apart <= half : place <= highest;
          int better = allowed && explained > AT(v, BEST, l);
          AT(v, BEST, l) = better ? explained : AT(v, BEST, l);
          AT(v, P, l) = better ? (float)i : AT(v, P, l);
          AT(v, Q, l) = better ? place : AT(v, Q, l);
        }
      }
    TILE_FOR(l, count) {
      AT(v, Q, l) = with_field ? clampf(b[l], 0.0f, edge) : AT(v, Q, l);
      AT(v, BEST, l) = 1e30f;
    }
    for (int step = 0; step <= steps && any; ++step) {
      for (int k = KEPT; k < NUMBERS; ++k)
        TILE_FOR(l, count) { AT(v, k, l) = 0.0f; }
      for (Index e = 0; e < echo; ++e) {
        const float* page = table + e * decays * fields;
        TILE_FOR(l, count) {
          float p = clampf(AT(v, P, l) + AT(v, STEP_P, l), 0.0f, last);
          float q = clampf(AT(v, Q, l) + AT(v, STEP_Q, l), 0.0f, with_field ? edge : highest);
          int i = first_node(p, (int)decays), j = first_node(q, (int)fields);
          float up = p - (float)(i + 1), uq = q - (float)(j + 1);
          Cubic wp = cubic_weights(up), wq = cubic_weights(uq), sp = cubic_slopes(up), sq = cubic_slopes(uq);
          const float* row = page + i * fields + j;
          Cubic along = {cubic_sum(wq, row), cubic_sum(wq, row + fields), cubic_sum(wq, row + 2 * fields),
                         cubic_sum(wq, row + 3 * fields)};
          Cubic turned = {cubic_sum(sq, row), cubic_sum(sq, row + fields), cubic_sum(sq, row + 2 * fields),
                          cubic_sum(sq, row + 3 * fields)};
          float m = wp.w0 * along.w0 + wp.w1 * along.w1 + wp.w2 * along.w2 + wp.w3 * along.w3;
          float mp = sp.w0 * along.w0 + sp.w1 * along.w1 + sp.w2 * along.w2 + sp.w3 * along.w3;
          float mq = wp.w0 * turned.w0 + wp.w1 * turned.w1 + wp.w2 * turned.w2 + wp.w3 * turned.w3;
          float s = m < 0.0f ? -scale * x[e * n + l] : scale * x[e * n + l];
          AT(v, MM, l) += m * m;
          AT(v, MS, l) += m * s;
          AT(v, MP, l) += m * mp;
          AT(v, MQ, l) += m * mq;
          AT(v, PP, l) += mp * mp;
          AT(v, QQ, l) += mq * mq;
          AT(v, PQ, l) += mp * mq;
          AT(v, PS, l) += mp * s;
          AT(v, QS, l) += mq * s;
        }
      }
      TILE_FOR(l, count) {
        float inverse = 1.0f / fmax2(AT(v, MM, l), 1e-30f), size = AT(v, MS, l) * inverse;
        float rest = fmax2(AT(v, POWER, l) - size * AT(v, MS, l), 0.0f);
        float hp = AT(v, PP, l) - AT(v, MP, l) * AT(v, MP, l) * inverse;
        float hq = fmax2(AT(v, QQ, l) - AT(v, MQ, l) * AT(v, MQ, l) * inverse, 0.0f);
        float hx = free_field * (AT(v, PQ, l) - AT(v, MP, l) * AT(v, MQ, l) * inverse);
        float gp = AT(v, PS, l) - size * AT(v, MP, l), gq = free_field * (AT(v, QS, l) - size * AT(v, MQ, l));
        hp = fmax2(hp, 1e-12f);
        hq = fmax2(hq * 1.001f, 1e-9f);
        float determinant = 1.0f / (fmax2(hp * hq - hx * hx, 1e-20f) * fmax2(size, 1e-12f));
        int better = rest < AT(v, BEST, l) + 1e-6f * AT(v, POWER, l);
        float p = clampf(AT(v, P, l) + AT(v, STEP_P, l), 0.0f, last);
        float q = clampf(AT(v, Q, l) + AT(v, STEP_Q, l), 0.0f, with_field ? edge : highest);
        float known = (hp - hx * hx / hq) * size * size;
        AT(v, P, l) = better ? p : AT(v, P, l);
        AT(v, Q, l) = better ? q : AT(v, Q, l);
        AT(v, SIZE, l) = better ? size : AT(v, SIZE, l);
        AT(v, SPREAD, l) = better ? 1.0f / fmax2(known, 1e-20f) : AT(v, SPREAD, l);
        AT(v, BEST, l) = better ? rest : AT(v, BEST, l);
        AT(v, STEP_P, l) =
            better ? clampf((hq * gp - hx * gq) * determinant, -4.0f, 4.0f) : 0.25f * AT(v, STEP_P, l);
        AT(v, STEP_Q, l) =
            better ? clampf((hp * gq - hx * gp) * determinant, -4.0f, 4.0f) : 0.25f * AT(v, STEP_Q, l);
      }
    }
    float *to_decay = decay + first, *to_fitted = fitted + first, *to_amplitude = amplitude + first;
    float *to_variance = variance + first, *to_residual = residual + first;
    TILE_FOR(l, count) {
      int seen = inside[l] && AT(v, POWER, l) > 1e-10f && AT(v, SIZE, l) > 0.0f;
      to_decay[l] = seen ? AT(v, P, l) : 0.0f;
      to_fitted[l] = seen ? AT(v, Q, l) : 0.0f;
      to_amplitude[l] = seen ? AT(v, SIZE, l) / scale : 0.0f;
      to_variance[l] = seen ? AT(v, SPREAD, l) : 0.0f;
      to_residual[l] = seen ? AT(v, BEST, l) : 0.0f;
    }
  }
}
