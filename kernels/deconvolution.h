// Fourier transforms of a tile's curves, zero-padded to twice their length, by table: curves are short, so direct sums
// need fewer passes over memory than an FFT. One lane is one voxel.
#pragma once
#include "vmath.h"

// Scratch of a tile: rows of TILE_LANES numbers.
#define ROW(s, i, l) s[(i) * TILE_LANES + (l)]

// Transform of `frame` samples of each curve, padded with zeros to period = 2 frame: real parts in the rows 0 .. frame
// of s, imaginary parts in the rows after them. The bins b and frame - b share their sums over even and odd samples.
FN void curve_spectrum(const float* RESTRICT x, const float* RESTRICT cosine, const float* RESTRICT sine,
                       float* RESTRICT s, int count, Index frame, Index n) {
  enum { EVEN_RE, EVEN_IM, ODD_RE, ODD_IM, NUMBERS };
  PRIVATE(float, sum, NUMBERS);
  Index bins = frame + 1, period = 2 * frame;
  for (Index b = 0; 2 * b <= frame; ++b) {
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(sum, j, l) = 0.0f;
    Index place = 0;
    for (Index i = 0; i < frame; i += 2) {
      Index next = place + b < period ? place + b : place + b - period;
      float c0 = cosine[place], s0 = sine[place];
      float c1 = i + 1 < frame ? cosine[next] : 0.0f, s1 = i + 1 < frame ? sine[next] : 0.0f;
      const float *even = x + i * n, *odd = i + 1 < frame ? even + n : even;
      TILE_FOR(l, count) {
        AT(sum, EVEN_RE, l) += c0 * even[l];
        AT(sum, EVEN_IM, l) -= s0 * even[l];
        AT(sum, ODD_RE, l) += c1 * odd[l];
        AT(sum, ODD_IM, l) -= s1 * odd[l];
      }
      place = next + b < period ? next + b : next + b - period;
    }
    TILE_FOR(l, count) {
      ROW(s, frame - b, l) = AT(sum, EVEN_RE, l) - AT(sum, ODD_RE, l);
      ROW(s, bins + frame - b, l) = AT(sum, ODD_IM, l) - AT(sum, EVEN_IM, l);
      ROW(s, b, l) = AT(sum, EVEN_RE, l) + AT(sum, ODD_RE, l);
      ROW(s, bins + b, l) = AT(sum, EVEN_IM, l) + AT(sum, ODD_IM, l);
    }
  }
}

// f_j = sum over the bins of Re(s_b exp(2 pi i b j / period)), j = 0 .. period - 1. The samples j, frame - j,
// frame + j and period - j share their sums over even and odd bins.
FN void curve_samples(const float* RESTRICT s, const float* RESTRICT cosine, const float* RESTRICT sine,
                      float* RESTRICT f, int count, Index frame) {
  enum { EVEN_COS, EVEN_SIN, ODD_COS, ODD_SIN, NUMBERS };
  PRIVATE(float, sum, NUMBERS);
  Index bins = frame + 1, period = 2 * frame;
  for (Index j = 0; 2 * j <= frame; ++j) {
    for (int k = 0; k < NUMBERS; ++k)
      FOR_LANES(l) AT(sum, k, l) = 0.0f;
    Index place = 0;
    for (Index b = 0; b < bins; b += 2) {
      Index next = place + j < period ? place + j : place + j - period;
      Index odd = b + 1 < bins ? b + 1 : b;
      float c0 = cosine[place], s0 = sine[place];
      float c1 = b + 1 < bins ? cosine[next] : 0.0f, s1 = b + 1 < bins ? sine[next] : 0.0f;
      TILE_FOR(l, count) {
        AT(sum, EVEN_COS, l) += c0 * ROW(s, b, l);
        AT(sum, EVEN_SIN, l) += s0 * ROW(s, bins + b, l);
        AT(sum, ODD_COS, l) += c1 * ROW(s, odd, l);
        AT(sum, ODD_SIN, l) += s1 * ROW(s, bins + odd, l);
      }
      place = next + j < period ? next + j : next + j - period;
    }
    Index mirrored = j ? period - j : 0;
    TILE_FOR(l, count) {
      float even = AT(sum, EVEN_COS, l) - AT(sum, ODD_COS, l), odd = AT(sum, ODD_SIN, l) - AT(sum, EVEN_SIN, l);
      ROW(f, frame - j, l) = even - odd;
      ROW(f, frame + j, l) = even + odd;
      even = AT(sum, EVEN_COS, l) + AT(sum, ODD_COS, l);
      odd = AT(sum, EVEN_SIN, l) + AT(sum, ODD_SIN, l);
      ROW(f, mirrored, l) = even + odd;
      ROW(f, j, l) = even - odd;
    }
  }
}

// Maximum of f and its place, counted from -frame + 1 to frame: of the parabola through the largest sample, `best`, and
// its cyclic neighbours.
struct Maximum {
  float height, place;
};
FN Maximum refined_maximum(const float* RESTRICT f, int best, int l, Index frame) {
  int period = (int)(2 * frame);
  float before = ROW(f, best ? best - 1 : period - 1, l), middle = ROW(f, best, l);
  float after = ROW(f, best + 1 < period ? best + 1 : 0, l), bend = before - 2.0f * middle + after;
  float shift = bend < 0.0f ? clampf(0.5f * (before - after) / bend, -0.5f, 0.5f) : 0.0f;
  Maximum found = {middle - 0.25f * shift * (before - after),
                   (float)(best > frame ? best - period : best) + shift};
  return found;
}
