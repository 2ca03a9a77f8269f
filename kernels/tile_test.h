// The third meaning of the dialect, for tests (-DTILE_TEST_THREADS): work is done by teams of eight real threads,
// each thread taking every eighth item of a cooperative loop, with a real barrier at TILE_SYNC and scratch that the
// eight threads share. Two teams divide the tiles, in a shuffled but fixed order, and never wait for each other.
// ThreadSanitizer reports a missing TILE_SYNC, and tiles or voxels that access each other's data, as races; the
// results must equal those of the ordinary build byte for byte.
#pragma once
#include <pthread.h>
#include <string.h>

#define TILE_TEAMS 2
#define TILE_TEAM_SIZE 8
#define TILE_ARENA (4 << 20)

struct TileTeam {
  pthread_barrier_t barrier;
  alignas(64) unsigned char arena[TILE_ARENA];
};

struct TileThread {
  TileTeam* team;
  int team_number, rank;
  size_t arena_used;
};

static thread_local TileThread* tile_self;

// All members of a team request the same scratch in the same order, so each gets the same addresses.
static inline void* tile_scratch(size_t bytes) {
  void* scratch = tile_self->team->arena + tile_self->arena_used;
  tile_self->arena_used += (bytes + 127) / 64 * 64;
  if (tile_self->arena_used > TILE_ARENA) __builtin_trap();
  return scratch;
}

// A permutation of 0..n-1: position -> position * step + offset (mod n), with step and n coprime.
struct TileOrder {
  Index n, step;
  explicit TileOrder(Index count) : n(count), step(count * 5 / 8 + 1) {
    while (common_factor(step, n) > 1) ++step;
  }
  Index at(Index position) const { return (position * step + n / 3) % n; }
  static Index common_factor(Index a, Index b) { return b == 0 ? a : common_factor(b, a % b); }
};

template <class Body>
struct TileJob {
  const Body* body;
  TileThread thread;
  static void* start(void* job) {
    TileJob* self = static_cast<TileJob*>(job);
    tile_self = &self->thread;
    (*self->body)();
    return nullptr;
  }
};

template <class Body>
static void tile_run(const Body& body) {
  TileTeam* teams = new TileTeam[TILE_TEAMS];
  TileJob<Body> jobs[TILE_TEAMS * TILE_TEAM_SIZE];
  pthread_t threads[TILE_TEAMS * TILE_TEAM_SIZE];
  for (int t = 0; t < TILE_TEAMS; ++t) {
    pthread_barrier_init(&teams[t].barrier, nullptr, TILE_TEAM_SIZE);
    memset(teams[t].arena, 0xff, TILE_ARENA);  // NaNs: reveals scratch that is read before it is written
  }
  for (int i = 0; i < TILE_TEAMS * TILE_TEAM_SIZE; ++i) {
    int t = i / TILE_TEAM_SIZE;
    jobs[i] = TileJob<Body>{&body, TileThread{&teams[t], t, i % TILE_TEAM_SIZE, 0}};
    if (pthread_create(&threads[i], nullptr, TileJob<Body>::start, &jobs[i]) != 0) __builtin_trap();
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  for (int t = 0; t < TILE_TEAMS; ++t) pthread_barrier_destroy(&teams[t].barrier);
  delete[] teams;
}

#define KERNEL(name, parameters, arguments)                 \
  static void name##_thread(TILE_ARGS parameters);          \
  TILE_EXPORT void name(Index, int, TILE_ARGS parameters) { \
    tile_run([&] { name##_thread(TILE_ARGS arguments); });  \
  }                                                         \
  static void name##_thread(TILE_ARGS parameters)
#define TILE_SHUFFLED(i, n, first, stride)                                                                 \
  for (Index i##_n = (n), i##_p = (first), i = 0; i##_p < i##_n && (i = TileOrder(i##_n).at(i##_p), true); \
       i##_p += (stride))
#define FOR_VOXELS(i, n) \
  TILE_SHUFFLED(i, n, tile_self->team_number* TILE_TEAM_SIZE + tile_self->rank, TILE_TEAMS * TILE_TEAM_SIZE)
#define FOR_TILES(t, count) TILE_SHUFFLED(t, count, tile_self->team_number, TILE_TEAMS)
#define FOR_ROWS(r, count) FOR_TILES(r, count)
#define ROW_FOR(i, n) TILE_FOR(i, n)
#define TILE_SHARED(type, name, n) type* const name = static_cast<type*>(tile_scratch(sizeof(type) * (n)))
#define TILE_FOR(i, n) for (int i = tile_self->rank; i < (n); i += TILE_TEAM_SIZE)
#define TILE_FOR2(j, i, nj, ni)                       \
  for (int j = tile_self->rank / 4; j < (nj); j += 2) \
    for (int i = tile_self->rank % 4; i < (ni); i += 4)
#define TILE_FOR3(k, j, i, nk, nj, ni) \
  for (int k = 0; k < (nk); ++k)       \
    TILE_FOR2(j, i, nj, ni)
#define TILE_STRIPS(i, from, to) \
  for (int i = (from) + tile_self->rank * STRIP; i < (to); i += TILE_TEAM_SIZE * STRIP)
#define TILE_SYNC() ((void)pthread_barrier_wait(&tile_self->team->barrier))
#define TILE_LANES 64
#define FOR_LANES(l) TILE_FOR(l, TILE_LANES)
#define ANY_LANE(found, l, test) \
  FOR_LANES(l) found |= (test)
#define PRIVATE(type, name, n) alignas(64) type name[(n) * (TILE_LANES / TILE_TEAM_SIZE)]
#define AT(m, i, l) m[(i) * (TILE_LANES / TILE_TEAM_SIZE) + (l) / TILE_TEAM_SIZE]
#define JOINED(type, name, n) TILE_SHARED(type, name, (n) * TILE_LANES)
#define LANE_SYNC() TILE_SYNC()
