// The minimum spanning forest along which ROMEO (10.1002/mrm.28563) unwraps, by Kruskal's algorithm, on the CPU.
// Edges are ordered by cost, and edges of equal cost by 3 voxel + axis. The forest is therefore unique, and each of
// the 255 costs takes one pass through memory. kernels/romeo_forest.cu finds the same forest on a GPU.
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>

namespace {

typedef long long Index;
typedef unsigned char u8;
typedef std::uint32_t Edge;  // 4 voxel + axis

const float kPerTurn = 0.15915494309189533577f;
const int kCosts = 256;
const Index kAhead = 16;  // distance of prefetching [edges]

enum Status { kDone = 0, kOutOfMemory = 1, kTooLarge = 2 };

struct Node {  // of the union-find: the turns of a voxel are these plus those of its parent
  int parent, turns;
};

struct Volume {
  const float* phase;
  const u8 *cost, *state;
  Index nx, ny, nz, n, stride[3];

  // Calls visit(voxel, axis, cost) for every edge in order of 3 voxel + axis. Edges between two settled voxels cannot
  // change anything and are skipped.
  template <class Visit>
  void for_edges(Visit visit) const {
    for (Index x = 0, i = 0; x < nx; ++x)
      for (Index y = 0; y < ny; ++y)
        for (Index z = 0; z < nz; ++z, ++i) {
          if (state[i] == 0) continue;
          const bool inside[3] = {x + 1 < nx, y + 1 < ny, z + 1 < nz};
          for (int axis = 0; axis < 3; ++axis) {
            int edge_cost = cost[axis * n + i];
            if (!inside[axis] || edge_cost == 0) continue;
            int next = state[i + stride[axis]];
            if (next != 0 && state[i] + next < 4) visit(i, axis, edge_cost);
          }
        }
  }
};

// Edges in ascending order, by counting sort; null if memory is insufficient.
std::unique_ptr<Edge[]> sorted_edges(const Volume& v, Index& count) {
  Index place[kCosts + 1] = {0};
  v.for_edges([&](Index, int, int cost) { ++place[cost + 1]; });
  for (int cost = 1; cost <= kCosts; ++cost) place[cost] += place[cost - 1];
  count = place[kCosts];
  std::unique_ptr<Edge[]> edges(new (std::nothrow) Edge[count]);
  if (edges) v.for_edges([&](Index i, int axis, int cost) { edges[place[cost]++] = (Edge)(4 * i + axis); });
  return edges;
}

// Root of a voxel's tree; adds the turns along the path to `turns` and halves the path.
int find(Node* nodes, int i, int& turns) {
  Node here = nodes[i];
  while (here.parent != i) {
    Node above = nodes[here.parent];
    turns += here.turns;
    if (above.parent != here.parent) nodes[i] = Node{above.parent, here.turns + above.turns};
    i = here.parent;
    here = above;
  }
  return i;
}

// Joins the trees at both ends of an edge; the root with the larger number remains.
void join(const float* phase, Node* nodes, int i, int j) {
  int to_i = 0, to_j = 0, a = find(nodes, i, to_i), b = find(nodes, j, to_j);
  if (a == b) return;
  int turns = to_j + (int)std::nearbyintf((phase[j] - phase[i]) * kPerTurn) - to_i;
  if (a > b)
    nodes[b] = Node{a, -turns};
  else
    nodes[a] = Node{b, turns};
}

void request(const Volume& v, const Node* nodes, Edge edge, bool parents) {
  Index i = edge >> 2, j = i + v.stride[edge & 3];
  __builtin_prefetch(nodes + (parents ? nodes[i].parent : i));
  __builtin_prefetch(nodes + (parents ? nodes[j].parent : j));
}

void join_all(const Volume& v, Node* nodes, const Edge* edges, Index count) {
  for (Index i = 0; i < v.n; ++i)
    if (v.state[i]) nodes[i] = Node{(int)(v.state[i] == 2 ? v.n : i), 0};
  nodes[v.n] = Node{(int)v.n, 0};
  for (Index k = 0; k < count; ++k) {
    if (k + kAhead < count) request(v, nodes, edges[k + kAhead], false);
    if (k + kAhead / 2 < count) request(v, nodes, edges[k + kAhead / 2], true);
    int i = (int)(edges[k] >> 2);
    join(v.phase, nodes, i, i + (int)v.stride[edges[k] & 3]);
  }
  for (Index i = v.n - 1; i >= 0; --i) {  // parents come later in memory and already point to their roots
    if (v.state[i] == 0 || nodes[i].parent == i) continue;
    Node above = nodes[nodes[i].parent];
    nodes[i] = Node{above.parent, nodes[i].turns + above.turns};
  }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// The minimum spanning forest of the voxels in state 1 (to unwrap) or 2 (settled: together one tree with root n).
// tree[i] = root + 2^32 turns: the turns that make voxel i continue its root. tree[i] is not written in state 0.
EXPORT int romeo_forest(const float* phase, const u8* cost, const u8* state, Index* tree, Index nx, Index ny,
                        Index nz, Index nodes) {
  Volume volume = {phase, cost, state, nx, ny, nz, nx * ny * nz, {ny * nz, nz, 1}};
  if (nodes <= volume.n || volume.n > (Index)1 << 29) return kTooLarge;
  Index count = 0;
  std::unique_ptr<Edge[]> edges = sorted_edges(volume, count);
  if (!edges) return kOutOfMemory;
  join_all(volume, reinterpret_cast<Node*>(tree), edges.get(), count);
  return kDone;
}
