// Vectors of floats, as long as those of the processor up to eight, and the exchanges of elements that transforms need.
#pragma once

namespace {

#ifdef __AVX__
const int kLanes = 8;
#else
const int kLanes = 4;
#endif
typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int Choice __attribute__((vector_size(4 * kLanes)));

#define LINES_FN static inline __attribute__((always_inline))
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Choice){__VA_ARGS__})
#endif

LINES_FN void load(const float* p, Vec& v) { __builtin_memcpy(&v, p, sizeof v); }
LINES_FN void store(float* p, const Vec& v) { __builtin_memcpy(p, &v, sizeof v); }

#ifdef __AVX__

// The elements of a and b in order, those of even and those of odd numbers, and the opposite.
LINES_FN void split_even_odd(const Vec& a, const Vec& b, Vec& even, Vec& odd) {
  even = SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
  odd = SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
}
LINES_FN void join_even_odd(const Vec& even, const Vec& odd, Vec& a, Vec& b) {
  a = SHUFFLE(even, odd, 0, 8, 1, 9, 2, 10, 3, 11);
  b = SHUFFLE(even, odd, 4, 12, 5, 13, 6, 14, 7, 15);
}

// Exchanges rows and columns of kLanes vectors.
LINES_FN void transpose(Vec* v) {
  Vec t[8], s[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = SHUFFLE(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = SHUFFLE(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      s[i + 2 * j] = SHUFFLE(t[i + j], t[i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
      s[i + 2 * j + 1] = SHUFFLE(t[i + j], t[i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    v[i] = SHUFFLE(s[i], s[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = SHUFFLE(s[i], s[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

#else

LINES_FN void split_even_odd(const Vec& a, const Vec& b, Vec& even, Vec& odd) {
  even = SHUFFLE(a, b, 0, 2, 4, 6);
  odd = SHUFFLE(a, b, 1, 3, 5, 7);
}
LINES_FN void join_even_odd(const Vec& even, const Vec& odd, Vec& a, Vec& b) {
  a = SHUFFLE(even, odd, 0, 4, 1, 5);
  b = SHUFFLE(even, odd, 2, 6, 3, 7);
}

LINES_FN void transpose(Vec* v) {
  Vec a = SHUFFLE(v[0], v[1], 0, 4, 1, 5), b = SHUFFLE(v[0], v[1], 2, 6, 3, 7);
  Vec c = SHUFFLE(v[2], v[3], 0, 4, 1, 5), d = SHUFFLE(v[2], v[3], 2, 6, 3, 7);
  v[0] = SHUFFLE(a, c, 0, 1, 4, 5);
  v[1] = SHUFFLE(a, c, 2, 3, 6, 7);
  v[2] = SHUFFLE(b, d, 0, 1, 4, 5);
  v[3] = SHUFFLE(b, d, 2, 3, 6, 7);
}

#endif

}  // namespace
