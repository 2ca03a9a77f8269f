// ROMEO's growth over the edges of the voxel grid (10.1002/mrm.28563): from a seed, always over the best
// open edge, as in Prim's spanning tree, with one stack for each of the 255 costs. Serial, on the host.
//
// state of a voxel: 0 outside, 1 waiting, 2 settled. cost[axis, voxel] as romeo_weights writes it. Both are
// packed into one number a voxel, as the growth jumps about in memory.
#include <cmath>
#include <cstdint>
#include <new>
#include <vector>

namespace {

typedef long long Index;
typedef unsigned char u8;

const double kTwoPi = 6.283185307179586476925;
const double kPerTurn = 1.0 / kTwoPi;
const int kCosts = 256;
const int kTurns = 1024;       // wrap counts -1024 .. 1023 are told apart
const Index kSampleStep = 16;  // every 16th voxel tells the echo pair's phase
const double kTurnPenalty = 0.1;

enum Status { kDone = 0, kOutOfMemory = 1, kTooLarge = 2 };

typedef std::uint32_t Packed;  // bytes: cost on x, y, z, state

struct Volume {
  float* unwrapped;  // of a waiting voxel: its phase
  Index n, stride[3];
  std::vector<Packed> voxels;

  Volume(const u8* cost, const u8* state, float* phase, Index nx, Index ny, Index nz)
      : unwrapped(phase), n(nx * ny * nz), stride{ny * nz, nz, 1}, voxels(n) {
    for (Index i = 0; i < n; ++i)
      voxels[i] = cost[i] | (Packed)cost[n + i] << 8 | (Packed)cost[2 * n + i] << 16 | (Packed)state[i] << 24;
  }
  int state(Index i) const { return (int)(voxels[i] >> 24); }
  void set_settled(Index i) { voxels[i] = (voxels[i] & 0xffffffu) | 2u << 24; }
};

// Wrap counts and the echo pair's phase difference, gathered while a component grows.
struct Branch {
  const float* other;  // phase of another echo, or null
  double ratio;        // TE(other) / TE(phase)
  std::vector<Index> turns = std::vector<Index>(2 * kTurns, 0);
  long low = 2 * kTurns, high = -1;  // range of the counts that are not 0
  double re = 0.0, im = 0.0;
  Index count = 0;

  void reset() {
    for (long n = low; n <= high; ++n) turns[n] = 0;
    low = 2 * kTurns, high = -1, re = im = 0.0, count = 0;
  }

  void add(const Volume& v, Index i) {
    long n = (long)std::nearbyint(v.unwrapped[i] * kPerTurn) + kTurns;
    n = n < 0 ? 0 : (n >= 2 * kTurns ? 2 * kTurns - 1 : n);
    ++turns[n];
    if (n < low) low = n;
    if (n > high) high = n;
    if (other && count % kSampleStep == 0) {
      double angle = other[i] - ratio * v.unwrapped[i];
      re += std::cos(angle);
      im += std::sin(angle);
    }
    ++count;
  }

  // Turns to add to the whole component: bring the median to the branch around 0; then the few turns that
  // make the other echo fit a phase linear in time through 0, where the spacing of the echoes tells.
  long correction() const {
    Index below = 0;
    long median = low;
    while (median < high && 2 * (below + turns[median]) < count) below += turns[median++];
    long centred = kTurns - median, best = 0;
    if (!other || (re == 0.0 && im == 0.0)) return centred;
    double angle = std::atan2(im, re), lowest = 1e9;
    for (long extra : {0L, 1L, -1L, 2L, -2L}) {
      double misfit = std::remainder(angle - kTwoPi * ratio * (centred + extra), kTwoPi);
      double penalised = std::fabs(misfit) + kTurnPenalty * std::fabs((double)extra);
      if (penalised < lowest - 1e-9) lowest = penalised, best = extra;
    }
    return centred + best;
  }
};

// Open edges by cost. An entry holds the voxel it leads to and the direction back: 8 * voxel + direction.
struct Queue {
  std::vector<std::uint32_t> stack[kCosts];
  int best = kCosts;

  void push(int cost, Index voxel, int back) {
    stack[cost].push_back((std::uint32_t)(voxel * 8 + back));
    if (cost < best) best = cost;
  }
  bool pop(std::uint32_t& entry) {
    while (best < kCosts && stack[best].empty()) ++best;
    if (best == kCosts) return false;
    entry = stack[best].back();
    stack[best].pop_back();
    return true;
  }
};

// Directions 0..2 step up on axis x, y, z; 3..5 step down.
Index step(const Volume& v, int direction) {
  return direction < 3 ? v.stride[direction] : -v.stride[direction - 3];
}

int edge(const Volume& v, Index i, int direction) {
  if (direction < 3) return (int)(v.voxels[i] >> 8 * direction & 255u);
  Index lower = i - v.stride[direction - 3];
  return lower < 0 ? 0 : (int)(v.voxels[lower] >> 8 * (direction - 3) & 255u);
}

// Opens the edges of axis `axis`, up and down, that lead to waiting voxels.
inline void open_axis(const Volume& v, Queue& queue, Index i, Packed here, int axis) {
  Index stride = v.stride[axis];
  int shift = 8 * axis;
  int up = (int)(here >> shift & 255u);
  if (up && v.state(i + stride) == 1) queue.push(up, i + stride, axis + 3);
  if (i < stride) return;
  Packed lower = v.voxels[i - stride];
  int down = (int)(lower >> shift & 255u);
  if (down && lower >> 24 == 1u) queue.push(down, i - stride, axis);
}

void open_edges(const Volume& v, Queue& queue, Index i) {
  Packed here = v.voxels[i];
  open_axis(v, queue, i, here, 0);
  open_axis(v, queue, i, here, 1);
  open_axis(v, queue, i, here, 2);
}

void settle(Volume& v, Index i, float reference) {
  double phase = v.unwrapped[i];
  v.unwrapped[i] = (float)(phase + kTwoPi * std::nearbyint((reference - phase) * kPerTurn));
  v.set_settled(i);
}

void grow(Volume& v, Queue& queue, Branch* branch) {
  std::uint32_t entry;
  while (queue.pop(entry)) {
    Index i = entry >> 3;
    if (v.state(i) != 1) continue;
    settle(v, i, v.unwrapped[i + step(v, (int)(entry & 7))]);
    if (branch) branch->add(v, i);
    open_edges(v, queue, i);
  }
}

int seed_cost(const Volume& v, Index i) {
  int sum = 0;
  for (int direction = 0; direction < 6; ++direction) {
    int cost = edge(v, i, direction);
    sum += cost ? cost : kCosts;
  }
  return sum;
}

// The waiting voxels that are connected with `start`.
void component(const Volume& v, Index start, std::vector<u8>& seen, std::vector<std::uint32_t>& members) {
  members.assign(1, (std::uint32_t)start);
  seen[start] = 1;
  for (std::size_t at = 0; at < members.size(); ++at)
    for (int direction = 0; direction < 6; ++direction) {
      if (edge(v, members[at], direction) == 0) continue;
      Index next = members[at] + step(v, direction);
      if (v.state(next) != 1 || seen[next]) continue;
      seen[next] = 1;
      members.push_back((std::uint32_t)next);
    }
}

Index best_seed(const Volume& v) {
  Index best = -1;
  int lowest = 6 * kCosts + 1;
  for (Index i = 0; i < v.n; ++i)
    if (v.state(i) == 1) {
      int cost = seed_cost(v, i);
      if (cost < lowest) lowest = cost, best = i;
    }
  return best;
}

Index best_seed(const Volume& v, const std::vector<std::uint32_t>& members) {
  Index best = members[0];
  int lowest = 6 * kCosts + 1;
  for (std::uint32_t i : members) {
    int cost = seed_cost(v, i);
    if (cost < lowest) lowest = cost, best = i;
  }
  return best;
}

long grow_component(Volume& v, Queue& queue, Branch& branch, Index seed) {
  branch.reset();
  settle(v, seed, v.unwrapped[seed]);
  branch.add(v, seed);
  open_edges(v, queue, seed);
  grow(v, queue, &branch);
  return branch.correction();
}

void turn(const Volume& v, Index i, long turns) { v.unwrapped[i] = (float)(v.unwrapped[i] + kTwoPi * turns); }

void grow_all(Volume& v, Branch& branch) {
  Index first = best_seed(v);
  if (first < 0) return;
  Queue queue;
  long turns = grow_component(v, queue, branch, first);
  for (Index i = 0; turns != 0 && i < v.n; ++i)
    if (v.state(i) == 2) turn(v, i, turns);
  std::vector<u8> seen;
  std::vector<std::uint32_t> members;
  for (Index i = 0; i < v.n; ++i) {
    if (v.state(i) != 1) continue;
    if (seen.empty()) seen.assign(v.n, 0);
    component(v, i, seen, members);
    turns = grow_component(v, queue, branch, best_seed(v, members));
    for (std::uint32_t member : members)
      if (turns != 0) turn(v, member, turns);
  }
}

void grow_from_settled(Volume& v) {
  Queue queue;
  for (Index i = 0; i < v.n; ++i)
    if (v.state(i) == 2) open_edges(v, queue, i);
  grow(v, queue, nullptr);
}

template <class Work>
int guarded(Index n, Work work) {
  if (n > (Index)1 << 29) return kTooLarge;
  try {
    work();
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  return kDone;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// Unwraps every waiting voxel in place, one seed for each connected component, and settles each component's
// branch. other = phase of another echo, ratio = TE(other) / TE; second = 0: there is none.
EXPORT int romeo_grow(const float* other, const u8* cost, const u8* state, float* unwrapped, double ratio,
                      int second, Index nx, Index ny, Index nz) {
  return guarded(nx * ny * nz, [=] {
    Volume volume(cost, state, unwrapped, nx, ny, nz);
    Branch branch{second ? other : nullptr, ratio};
    grow_all(volume, branch);
  });
}

// Unwraps the waiting voxels in place from the settled ones; those that none of these reaches stay as they are.
EXPORT int romeo_regrow(const u8* cost, const u8* state, float* unwrapped, Index nx, Index ny, Index nz) {
  return guarded(nx * ny * nz, [=] {
    Volume volume(cost, state, unwrapped, nx, ny, nz);
    grow_from_settled(volume);
  });
}
