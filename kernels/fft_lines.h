// Fourier transforms of several lines at once, one in each lane of a vector, by Stockham's algorithm with the radices
// 2, 3, 4, 5 and 7 (Temperton 1983, 10.1016/0021-9991(83)90013-X). The transform is that with exp(-i ...); the inverse
// exchanges real and imaginary parts before and after it.
#pragma once

#include "fft_vectors.h"
#include "tile.h"

namespace {

struct Lines {  // one number of every line
  Vec re, im;
};

struct Twiddle {
  float re, im;
};

// Plan of a length: its radices, and for every pass exp(-2 pi i j k / (radix count)), j = 1 .. radix - 1 and
// k = 1 .. count - 1, count = number of values per group of the pass.
struct Plan {
  const int* radices;
  const Twiddle* twiddles;
  Index passes, length;
};

LINES_FN void add(const Lines& a, const Lines& b, Lines& out) {
  out.re = a.re + b.re;
  out.im = a.im + b.im;
}
LINES_FN void subtract(const Lines& a, const Lines& b, Lines& out) {
  out.re = a.re - b.re;
  out.im = a.im - b.im;
}
LINES_FN void rotate(Lines& a, const Twiddle& w) {
  Vec re = a.re * w.re - a.im * w.im;
  a.im = a.re * w.im + a.im * w.re;
  a.re = re;
}

template <int kRadix>
struct Butterfly;

template <>
struct Butterfly<2> {
  LINES_FN void run(Lines* v) {
    Lines a = v[0];
    add(a, v[1], v[0]);
    subtract(a, v[1], v[1]);
  }
};

template <>
struct Butterfly<4> {
  LINES_FN void run(Lines* v) {
    Lines a, b, c, d;
    add(v[0], v[2], a);
    subtract(v[0], v[2], b);
    add(v[1], v[3], c);
    subtract(v[1], v[3], d);
    add(a, c, v[0]);
    subtract(a, c, v[2]);
    v[1].re = b.re + d.im;
    v[1].im = b.im - d.re;
    v[3].re = b.re - d.im;
    v[3].im = b.im + d.re;
  }
};

// Odd radices: sums and differences of the values j and radix - j, then cosines and sines of the angles 2 pi j k /
// radix.
template <int kRadix>
struct Odd {
  LINES_FN void run(Lines* v, const float* cosine, const float* sine) {
    const int half = (kRadix - 1) / 2;
    Lines sum[half], difference[half], first = v[0];
    for (int j = 0; j < half; ++j) {
      add(v[j + 1], v[kRadix - 1 - j], sum[j]);
      subtract(v[j + 1], v[kRadix - 1 - j], difference[j]);
      add(v[0], sum[j], v[0]);
    }
    for (int k = 1; k <= half; ++k) {
      Lines even = first, odd = {};
      for (int j = 1; j <= half; ++j) {
        const int angle = j * k % kRadix, mirrored = angle > half ? kRadix - angle : angle;
        const float c = cosine[mirrored - 1], s = angle > half ? -sine[mirrored - 1] : sine[mirrored - 1];
        even.re += c * sum[j - 1].re;
        even.im += c * sum[j - 1].im;
        odd.re += s * difference[j - 1].re;
        odd.im += s * difference[j - 1].im;
      }
      v[k].re = even.re + odd.im;
      v[k].im = even.im - odd.re;
      v[kRadix - k].re = even.re - odd.im;
      v[kRadix - k].im = even.im + odd.re;
    }
  }
};

template <>
struct Butterfly<3> {
  LINES_FN void run(Lines* v) {
    const float cosine[] = {-0.5f}, sine[] = {0.866025403784438647f};
    Odd<3>::run(v, cosine, sine);
  }
};

template <>
struct Butterfly<5> {
  LINES_FN void run(Lines* v) {
    const float cosine[] = {0.309016994374947424f, -0.809016994374947424f};
    const float sine[] = {0.951056516295153572f, 0.587785252292473129f};
    Odd<5>::run(v, cosine, sine);
  }
};

template <>
struct Butterfly<7> {
  LINES_FN void run(Lines* v) {
    const float cosine[] = {0.623489801858733531f, -0.222520933956314404f, -0.900968867902419126f};
    const float sine[] = {0.781831482468029809f, 0.974927912181823607f, 0.433883739117558120f};
    Odd<7>::run(v, cosine, sine);
  }
};

// One pass: `groups` groups of kRadix * count values each.
template <int kRadix>
void pass(const Lines* in, Lines* out, const Twiddle* w, Index groups, Index count) {
  for (Index g = 0; g < groups; ++g)
    for (Index i = 0; i < count; ++i) {
      Lines v[kRadix];
      for (int j = 0; j < kRadix; ++j) v[j] = in[i + count * (j + kRadix * g)];
      Butterfly<kRadix>::run(v);
      out[i + count * g] = v[0];
      if (i == 0) {
        for (int j = 1; j < kRadix; ++j) out[count * (g + groups * j)] = v[j];
      } else {
        for (int j = 1; j < kRadix; ++j) {
          rotate(v[j], w[(j - 1) * (count - 1) + i - 1]);
          out[i + count * (g + groups * j)] = v[j];
        }
      }
    }
}

// Transforms a[0 .. length - 1]; returns the one of `a` and `spare` that holds the result.
Lines* transform(const Plan& plan, Lines* a, Lines* spare) {
  const Twiddle* w = plan.twiddles;
  Index groups = 1;
  for (Index p = 0; p < plan.passes; ++p) {
    const int radix = plan.radices[p];
    const Index count = plan.length / (groups * radix);
    switch (radix) {
      case 2:
        pass<2>(a, spare, w, groups, count);
        break;
      case 3:
        pass<3>(a, spare, w, groups, count);
        break;
      case 4:
        pass<4>(a, spare, w, groups, count);
        break;
      case 5:
        pass<5>(a, spare, w, groups, count);
        break;
      default:
        pass<7>(a, spare, w, groups, count);
    }
    w += (radix - 1) * (count - 1);
    groups *= radix;
    Lines* other = a;
    a = spare;
    spare = other;
  }
  return a;
}

// Complex numbers that follow each other in memory, one for each lane.
LINES_FN void load_lanes(const float* p, Lines& v) {
  Vec a, b;
  load(p, a);
  load(p + kLanes, b);
  split_even_odd(a, b, v.re, v.im);
}
LINES_FN void store_lanes(float* p, const Lines& v) {
  Vec a, b;
  join_even_odd(v.re, v.im, a, b);
  store(p, a);
  store(p + kLanes, b);
}

}  // namespace
