// Definitions of CUDA's keywords for a CPU, included before a kernel source. The threads of a block are fibers of one
// thread.
#pragma once

#include "guard.h"

#define __CUDACC__ 1
#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct EmulatedDim {
  unsigned x, y, z;
};
extern EmulatedDim threadIdx, blockIdx, gridDim;

#define EMULATED_SHARED(alignment) static __attribute__((section("emulated_shared"), used, aligned(alignment)))
#define EMULATED_JOIN(a, b) a##b
#define EMULATED_NAME(a, b) EMULATED_JOIN(a, b)
#define __shared__                                                                        \
  EMULATED_SHARED(1) char EMULATED_NAME(emulated_guard_, __COUNTER__)[] = EMULATED_GUARD; \
  EMULATED_SHARED(EMULATED_ALIGNMENT)

extern "C" void emulated_barrier(const char* file, int line);
#define __syncthreads() emulated_barrier(__FILE__, __LINE__)

// Integers that several blocks access concurrently: their addresses are checked, races are not. Not instrumented.
extern "C" void emulated_atomic(const void* place, int size, bool write);
#define EMULATED_ATOMIC static __attribute__((noinline, unused, no_sanitize("thread")))
EMULATED_ATOMIC int __ldcg(const int* p) { return emulated_atomic(p, 4, false), *p; }
EMULATED_ATOMIC void __stcg(int* p, int value) { emulated_atomic(p, 4, true), *p = value; }
EMULATED_ATOMIC void __stcg(unsigned char* p, unsigned char value) { emulated_atomic(p, 1, true), *p = value; }
EMULATED_ATOMIC int atomicAdd(int* p, int value) {
  emulated_atomic(p, 4, true);
  int before = *p;
  *p = before + value;
  return before;
}
EMULATED_ATOMIC int atomicCAS(int* p, int expected, int value) {
  emulated_atomic(p, 4, true);
  int before = *p;
  if (before == expected) *p = value;
  return before;
}
EMULATED_ATOMIC long long __ldcg(const long long* p) { return emulated_atomic(p, 8, false), *p; }
EMULATED_ATOMIC void atomicMin(long long* p, long long value) {
  emulated_atomic(p, 8, true);
  *p = value < *p ? value : *p;
}
EMULATED_ATOMIC void atomicAdd(unsigned long long* p, unsigned long long value) {
  emulated_atomic(p, 8, true);
  *p += value;
}

extern "C" float emulated_exchange(float value, unsigned from);
#define __shfl_sync(mask, value, lane) emulated_exchange(value, lane)

static inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
static inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
static inline float sqrtf(float x) { return __builtin_sqrtf(x); }
static inline float floorf(float x) { return __builtin_floorf(x); }
static inline float rintf(float x) { return __builtin_rintf(x); }
// A GPU has an instruction for this; the CPU's polynomial reproduces the bytes of the CPU build.
#define exp2f(x) exp2_minus(-(x))
static inline float fabsf(float x) { return __builtin_fabsf(x); }
