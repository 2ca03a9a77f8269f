// Threshold-free cluster enhancement (10.1016/j.neuroimage.2008.03.061) without discrete steps: the integral over the
// height is a sum over the nodes of the max-tree, which a union-find over the sorted voxels builds
// (10.1109/TIP.2006.877518). Maps are distributed over threads; each result is exact.
//
// Voxels are numbered by the mask; voxels[i] is the position of voxel i in a padded box, in which offsets[k] lead to
// its neighbours without leaving the box.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

typedef long long Index;
typedef std::int32_t Place;

const int kRadixBits = 11;
const int kRadix = 1 << kRadixBits;
const Index kAhead = 8;  // distance of prefetching [voxels]: the sorted order is irregular in memory

enum Status { kDone = 0, kOutOfMemory = 1, kTooLarge = 2 };

struct Shape {
  double extent, height;  // exponents E and H

  // Integral of h^H from 0 to `value`.
  double raised(double value) const {
    if (height == 2.0) return value * value * value / 3.0;
    return std::pow(value, height + 1.0) / (height + 1.0);
  }
  double weight(Place area) const {
    return extent == 0.5 ? std::sqrt((double)area) : std::pow((double)area, extent);
  }
};

struct Box {
  const Place* voxels;
  const Place* offsets;
  Index n, n_offsets, size;
};

// A voxel in the max-tree: the voxel above it (itself at a root), and its score.
struct Node {
  double score;
  float value;
  Place above, area;
};

// Memory of one thread for one map. root (of the union-find) is -1 at positions not yet reached.
struct Workspace {
  std::vector<std::uint64_t> keys, spare;
  std::vector<Place> root;
  std::vector<Node> nodes;

  explicit Workspace(const Box& box) : keys(box.n), spare(box.n), root(box.size, -1), nodes(box.size) {}

  // Sorts voxels with sign * stat > 0 in descending order, ties in the order of the voxels; returns their number.
  Index sort(const float* stat, Index n, float sign) {
    Index count = 0;
    for (Index i = 0; i < n; ++i) {
      float v = sign * stat[i];
      if (!(v > 0.0f)) continue;
      std::uint32_t bits;
      std::memcpy(&bits, &v, sizeof bits);
      keys[count++] = (std::uint64_t)(~bits) << 32 | (std::uint64_t)i;
    }
    for (int shift = 32; shift < 64; shift += kRadixBits) pass(count, shift);
    return count;
  }

  void pass(Index count, int shift) {
    Index start[kRadix + 1] = {0};
    for (Index i = 0; i < count; ++i) ++start[(keys[i] >> shift & (kRadix - 1)) + 1];
    for (int b = 0; b < kRadix; ++b) start[b + 1] += start[b];
    for (Index i = 0; i < count; ++i) spare[start[keys[i] >> shift & (kRadix - 1)]++] = keys[i];
    keys.swap(spare);
  }

  Place find(Place p) {
    while (root[p] != p) {
      root[p] = root[root[p]];
      p = root[p];
    }
    return p;
  }

  void fetch(const Box& box, Place p) const {
    __builtin_prefetch(&nodes[p]);
    for (Index k = 0; k < box.n_offsets; ++k) __builtin_prefetch(&root[p + box.offsets[k]]);
  }

  void join(const Box& box, Place p, float value) {
    Place total = 1;
    root[p] = p;
    for (Index k = 0; k < box.n_offsets; ++k) {
      Place q = p + box.offsets[k];
      if (root[q] < 0) continue;
      Place r = find(q);
      if (r == p) continue;
      root[r] = nodes[r].above = p;
      total += nodes[r].area;
    }
    nodes[p] = Node{0.0, value, p, total};
  }

  // Enhances the voxels of one sign; calls done(voxel, enhanced) for each and leaves root at -1.
  template <class Done>
  void enhance(const Box& box, const Shape& shape, const float* stat, float sign, Done done) {
    Index count = sort(stat, box.n, sign);
    for (Index i = 0; i < count; ++i) {
      if (i + kAhead < count) fetch(box, box.voxels[keys[i + kAhead] & 0xffffffffu]);
      Index voxel = (Index)(keys[i] & 0xffffffffu);
      join(box, box.voxels[voxel], sign * stat[voxel]);
    }
    for (Index i = count - 1; i >= 0; --i) {
      if (i >= kAhead) __builtin_prefetch(&nodes[box.voxels[keys[i - kAhead] & 0xffffffffu]]);
      Index voxel = (Index)(keys[i] & 0xffffffffu);
      Place p = box.voxels[voxel];
      Node& node = nodes[p];
      const Node& parent = nodes[node.above];
      // Among equal values the last one holds the whole area; the others take its score.
      double below = &parent == &node ? 0.0 : shape.raised(parent.value);
      double start = &parent == &node ? 0.0 : parent.score;
      node.score = start + shape.weight(node.area) * (shape.raised(node.value) - below);
      root[p] = -1;
      done(voxel, node.score);
    }
  }
};

template <class Work>
int over_maps(const Box& box, Index n_maps, int threads, Work work) {
  if (box.size > (Index)1 << 30) return kTooLarge;
  std::vector<Workspace> spaces;
  try {
    for (int t = 0; t < threads; ++t) spaces.emplace_back(box);
  } catch (const std::bad_alloc&) { return kOutOfMemory; }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t)
    for (Index map = t; map < n_maps; map += threads) work(spaces[t], map);
  return kDone;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// Enhanced maps, negative where the statistic is negative, 0 where it is 0.
EXPORT int tfce_enhance(const float* stat, const int* voxels, const int* offsets, float* enhanced,
                        Index box_size, double extent, double height, int threads, Index maps, Index n,
                        Index neighbours) {
  const Box box{voxels, offsets, n, neighbours, box_size};
  const Shape shape{extent, height};
  return over_maps(box, maps, threads, [=](Workspace& space, Index map) {
    float* out = enhanced + map * n;
    std::memset(out, 0, n * sizeof(float));
    for (float sign : {1.0f, -1.0f})
      space.enhance(box, shape, stat + map * n, sign, [=](Index i, double v) { out[i] = (float)(sign * v); });
  });
}

// Largest enhanced value of each map among positive statistics and among negative ones.
EXPORT int tfce_maxima(const float* stat, const int* voxels, const int* offsets, float* maxima, Index box_size,
                       double extent, double height, int threads, Index maps, Index n, Index neighbours) {
  const Box box{voxels, offsets, n, neighbours, box_size};
  const Shape shape{extent, height};
  return over_maps(box, maps, threads, [=](Workspace& space, Index map) {
    for (int side = 0; side < 2; ++side) {
      double largest = 0.0;
      space.enhance(box, shape, stat + map * n, side ? -1.0f : 1.0f,
                    [&](Index, double v) { largest = v > largest ? v : largest; });
      maxima[2 * map + side] = (float)largest;
    }
  });
}
