// One kernel source, three meanings. A kernel is a program over *work items* (voxels, rows or tiles):
//
//   KERNEL(name, (parameters), (arguments)) { ... }
//
//   FOR_VOXELS(i, n)            plain voxel kernels: every i in 0..n-1 once; nothing else is needed
//   FOR_TILES(t, count)         tile kernels: every t once; the body is a tile program:
//     TILE_SHARED(type, a, n)     scratch of the tile, declared before FOR_TILES
//     TILE_FOR(i, n)              1-D cooperative loop
//     TILE_FOR2(j, i, nj, ni)     2-D: i runs along contiguous memory
//     TILE_FOR3(k, j, i, nk, nj, ni)
//     TILE_SYNC()                 barrier: makes earlier writes visible to later reads
//   FOR_ROWS(r, count)          row kernels: every r once; rows share no scratch and have no barrier:
//     ROW_FOR(i, n)               loop along the row
//   FOR_LANES(l)                voxel fits with small matrices: TILE_LANES voxels in parallel, one per lane;
//     PRIVATE(type, m, n)         n values per lane (registers on a GPU), declared before it,
//     AT(m, i, l)                 value i of lane l
//     ANY_LANE(found, l, test)    found = 1 if the test holds for any of the lanes that run together
//     JOINED(type, m, n)          values per lane that its neighbours read too; OF(m, i, l) is AT for them,
//     BESIDE(m, i, l, d)          value i of lane l + d, cyclic in the 32 lanes that contain l,
//     LANE_SYNC()                 makes writes through OF visible to BESIDE
//   TILE_STRIPS(i, from, to)    loop along contiguous memory whose body needs to keep values in registers over
//                               inner loops: i = from, from + STRIP, ... < to, with STRIP floats in a Strip;
//     strip_at, put_strip         load from and store to any address; arithmetic as on float,
//     strip_of(x)                 x in all places, lesser(a, b), strip_where(test, s): s where a comparison holds, 0
//                                 elsewhere, strip_bits, bits_strip: reinterpretation as integers
//     FETCH_EARLY(p)              hint that *p is read soon, where the machine cannot foresee it
//   FN, FN_APART                functions, inlined or not: a loop that fills the registers is better off alone
//   TILE_PICK(cpu, gpu)         a compile-time size that differs between the machines
//   atomic_load, atomic_store,  integers that several tiles access concurrently and without order; only for results
//   atomic_add, atomic_min,     that do not depend on the order (sums, the smallest number, the root of a union-find
//   atomic_swap                 tree)
//
// 1. GPU (nvcc, NVRTC): a tile is a thread block of 32 x 8 threads; a row is one warp of it, so that short rows
//    leave no threads idle. A source whose kernels need many registers defines, before its includes, a smaller
//    TILE_THREADS (its signatures state the same number) and TILE_LIMITS: this number and the number of blocks
//    that must fit on a multiprocessor.
// 2. CPU: tiles and rows are distributed over OpenMP tasks; inside a task, loops run in order, the innermost
//    vectorised.
// 3. CPU, -DTILE_TEST_THREADS: each tile is run by eight real threads with strided loops and a real barrier,
//    tiles in shuffled order. Only tests use it: it reveals a missing TILE_SYNC to ThreadSanitizer.
//
// Rules: no standard headers, no static state, float unless stated otherwise, 64-bit indices (Index), arrays
// C-contiguous with the last axis fastest, and aligned to their elements: 8 bytes for Complex.
#pragma once

typedef long long Index;
typedef unsigned char u8;

struct alignas(8) Complex {  // a GPU loads and stores both parts at once
  float re, im;
};

#define TILE_ARGS(...) __VA_ARGS__

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)

#define FN __device__ __forceinline__
#define FN_APART __device__ __noinline__
#define RESTRICT __restrict__
#define TILE_PICK(cpu, gpu) (gpu)
#ifndef TILE_THREADS
#define TILE_THREADS 256
#define TILE_LIMITS TILE_THREADS
#endif
#define TILE_ROWS (TILE_THREADS / 32)
#define TILE_THREAD ((int)(threadIdx.y * 32 + threadIdx.x))
#define KERNEL(name, parameters, arguments) \
  extern "C" __global__ void __launch_bounds__(TILE_LIMITS) name parameters
#define FOR_VOXELS(i, n) \
  for (Index i = (Index)blockIdx.x * TILE_THREADS + TILE_THREAD; i < (n); i += (Index)gridDim.x * TILE_THREADS)
#define FOR_TILES(t, count) for (Index t = blockIdx.x; t < (count); t += gridDim.x)
#define FOR_ROWS(r, count) \
  for (Index r = (Index)blockIdx.x * TILE_ROWS + threadIdx.y; r < (count); r += (Index)gridDim.x * TILE_ROWS)
#define ROW_FOR(i, n) for (int i = threadIdx.x; i < (n); i += 32)
#define TILE_SHARED(type, name, n) __shared__ type name[n]
#define TILE_FOR(i, n) for (int i = TILE_THREAD; i < (n); i += TILE_THREADS)
#define TILE_FOR2(j, i, nj, ni)                       \
  for (int j = threadIdx.y; j < (nj); j += TILE_ROWS) \
    for (int i = threadIdx.x; i < (ni); i += 32)
#define TILE_FOR3(k, j, i, nk, nj, ni)                  \
  for (int k = 0; k < (nk); ++k)                        \
    for (int j = threadIdx.y; j < (nj); j += TILE_ROWS) \
      for (int i = threadIdx.x; i < (ni); i += 32)
#define TILE_SYNC() __syncthreads()
#define STRIP 1
#define TILE_STRIPS(i, from, to) for (int i = (from) + TILE_THREAD; i < (to); i += TILE_THREADS)
#define FETCH_EARLY(p) ((void)0)
#define TILE_LANES TILE_THREADS
#define PRIVATE(type, name, n) type name[n]
#define AT(m, i, l) m[i]
#define FOR_LANES(l) for (int l = TILE_THREAD, l##_once = 1; l##_once; l##_once = 0)
#define ANY_LANE(found, l, test) \
  FOR_LANES(l) found |= (test)
#define JOINED(type, name, n) type name[n]
#define OF(m, i, l) m[i]
#define BESIDE(m, i, l, d) __shfl_sync(0xffffffffu, m[i], threadIdx.x + (d))
#define LANE_SYNC() ((void)0)
#define INFINITY_F __int_as_float(0x7f800000)
FN int float_bits(float x) { return __float_as_int(x); }
FN float bits_float(int x) { return __int_as_float(x); }
FN float fsqrt(float x) { return sqrtf(x); }
FN float ffloor(float x) { return floorf(x); }
FN float fround(float x) { return rintf(x); }
FN float fabs1(float x) { return fabsf(x); }
typedef float Strip;
typedef int StripBits;
FN Strip strip_at(const float* p) { return *p; }
FN void put_strip(float* p, Strip s) { *p = s; }
FN Strip strip_of(float x) { return x; }
FN StripBits strip_bits(Strip s) { return float_bits(s); }
FN Strip bits_strip(StripBits b) { return bits_float(b); }
FN Strip strip_where(bool test, Strip s) { return test ? s : 0.0f; }
FN int atomic_load(const int* p) { return __ldcg(p); }
FN void atomic_store(int* p, int value) { __stcg(p, value); }
FN void atomic_store(u8* p, u8 value) { __stcg(p, value); }
FN void atomic_add(int* p, int value) { atomicAdd(p, value); }
FN void atomic_add(Index* p, Index value) { atomicAdd((unsigned long long*)p, (unsigned long long)value); }
FN void atomic_min(Index* p, Index value) {
  if (value < __ldcg(p)) atomicMin(p, value);
}
FN int atomic_swap(int* p, int expected, int value) { return atomicCAS(p, expected, value); }

#else

#define FN static inline __attribute__((always_inline))
#define FN_APART static __attribute__((noinline))
#define RESTRICT __restrict__
#define TILE_PICK(cpu, gpu) (cpu)
#define INFINITY_F __builtin_inff()
#define TILE_EXPORT extern "C" __attribute__((visibility("default")))
#define OF(m, i, l) m[(i) * TILE_LANES + (l)]
#define BESIDE(m, i, l, d) OF(m, i, ((l) & ~31) + (((l) + (d)) & 31))
FN int float_bits(float x) { return __builtin_bit_cast(int, x); }
FN float bits_float(int x) { return __builtin_bit_cast(float, x); }
FN float fsqrt(float x) { return __builtin_sqrtf(x); }
FN float ffloor(float x) { return __builtin_floorf(x); }
FN float fround(float x) { return __builtin_rintf(x); }
FN float fabs1(float x) { return __builtin_fabsf(x); }
#if defined(__AVX512F__)
#define STRIP 16
#elif defined(__AVX__)
#define STRIP 8
#else
#define STRIP 4
#endif
typedef float Strip __attribute__((vector_size(4 * STRIP)));
typedef int StripBits __attribute__((vector_size(4 * STRIP)));
typedef float StripAnywhere __attribute__((vector_size(4 * STRIP), aligned(4), may_alias));
FN Strip strip_at(const float* p) { return *(const StripAnywhere*)p; }
FN void put_strip(float* p, Strip s) { *(StripAnywhere*)p = s; }
FN Strip strip_of(float x) {
  Strip s = x - Strip{};
#ifdef __x86_64__
  __asm__("" : "+v"(s));  // no constant to the compiler, which would load it at every use
#endif
  return s;
}
FN StripBits strip_bits(Strip s) { return (StripBits)s; }
FN Strip bits_strip(StripBits b) { return (Strip)b; }
FN Strip strip_where(StripBits test, Strip s) { return (Strip)((StripBits)s & test); }
#define FETCH_EARLY(p) __builtin_prefetch(p)
FN int atomic_load(const int* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
FN void atomic_store(int* p, int value) { __atomic_store_n(p, value, __ATOMIC_RELAXED); }
FN void atomic_store(u8* p, u8 value) { __atomic_store_n(p, value, __ATOMIC_RELAXED); }
FN void atomic_add(int* p, int value) { __atomic_fetch_add(p, value, __ATOMIC_RELAXED); }
FN void atomic_add(Index* p, Index value) { __atomic_fetch_add(p, value, __ATOMIC_RELAXED); }
FN void atomic_min(Index* p, Index value) {
  Index seen = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (value < seen &&
         !__atomic_compare_exchange_n(p, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}
FN int atomic_swap(int* p, int expected, int value) {  // returns the previous *p
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}

#ifndef TILE_TEST_THREADS

#define TILE_LANES 64
#define PRIVATE(type, name, n) alignas(64) type name[(n) * TILE_LANES]
#define AT(m, i, l) m[(i) * TILE_LANES + (l)]
#define JOINED(type, name, n) PRIVATE(type, name, n)
#define LANE_SYNC() ((void)0)

struct TileTask {
  Index task, tasks;  // number of this task and of all tasks: items are distributed in contiguous ranges
};
#define KERNEL(name, parameters, arguments)                                                             \
  static void name##_task(TileTask tile_task, TILE_ARGS parameters);                                    \
  TILE_EXPORT void name(Index tasks, int threads, TILE_ARGS parameters) {                               \
    _Pragma("omp parallel for schedule(dynamic) num_threads(threads)")                                  \
    for (Index task = 0; task < tasks; ++task) name##_task(TileTask{task, tasks}, TILE_ARGS arguments); \
  }                                                                                                     \
  static void name##_task(TileTask tile_task, TILE_ARGS parameters)
#define TILE_RANGE(i, n)                                             \
  for (Index i = (n) * tile_task.task / tile_task.tasks,             \
             i##_end = (n) * (tile_task.task + 1) / tile_task.tasks; \
       i < i##_end; ++i)
#define FOR_VOXELS(i, n) \
  _Pragma("GCC ivdep")   \
  TILE_RANGE(i, n)
#define FOR_TILES(t, count) TILE_RANGE(t, count)
#define FOR_ROWS(r, count) TILE_RANGE(r, count)
#define ROW_FOR(i, n) TILE_FOR(i, n)
#define TILE_SHARED(type, name, n) alignas(64) type name[n]
#define TILE_FOR(i, n) \
  _Pragma("omp simd")  \
  for (int i = 0; i < (n); ++i)
#define TILE_FOR2(j, i, nj, ni)  \
  for (int j = 0; j < (nj); ++j) \
    TILE_FOR(i, ni)
#define TILE_FOR3(k, j, i, nk, nj, ni) \
  for (int k = 0; k < (nk); ++k)       \
    TILE_FOR2(j, i, nj, ni)
#define TILE_STRIPS(i, from, to) for (int i = (from); i < (to); i += STRIP)
#define TILE_SYNC() ((void)0)
#define FOR_LANES(l) TILE_FOR(l, TILE_LANES)
#define ANY_LANE(found, l, test) \
  for (int l = 0; l < TILE_LANES; ++l) found |= (test)

#else

#include "tile_test.h"

#endif
#endif
FN Strip lesser(Strip a, Strip b) { return a < b ? a : b; }
