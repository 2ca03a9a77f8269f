// The minimum spanning forest along which ROMEO (10.1002/mrm.28563) unwraps, by Boruvka's algorithm: in each round
// every tree finds the first edge that leaves it, and all trees join along these edges. Edges are ordered by cost,
// and edges of equal cost by 3 voxel + axis. The forest is therefore unique: it equals that of kernels/romeo.cpp.
//
// State of a voxel: 0 outside, 1 to be unwrapped, 2 settled. All settled voxels form one tree with root n, which
// joins no other; its neighbours join it. cost[axis, voxel] must be 0 on the last plane of the axis. A round consists
// of three launches, which do nothing if done[round] = 1, so the host need not check each round.
#include "romeo_tree.h"

#define NO_EDGE 0x7fffffffffffffffLL

// Initially, every waiting voxel is a tree.
KERNEL(romeo_start, (const u8* RESTRICT state, Index* RESTRICT tree, Index* RESTRICT first, Index n),
       (state, tree, first, n)) {
  FOR_VOXELS(i, n) {
    tree[i] = tree_node(state[i] == 2 ? n : i, 0);
    first[i] = NO_EDGE;
  }
}

// The smaller of `key` and the key of the edge from `lower` along the axis, if this edge leads from the tree `root`
// to voxel `end`. Keys are ordered like the edges.
FN Index smaller_key(Index key, const u8* cost, const u8* state, const Index* tree, Index root, Index lower,
                     Index end, int axis, Index n) {
  int edge_cost = cost[axis * n + lower];
  if (edge_cost == 0 || state[end] == 0 || root_of(tree[end]) == root) return key;
  Index found = edge_cost * TURN_PLACE + 3 * lower + axis;
  return found < key ? found : key;
}

// first[root] = key of the first edge that leaves the tree.
KERNEL(romeo_first,
       (const u8* RESTRICT cost, const u8* RESTRICT state, const Index* RESTRICT tree,
        const Index* RESTRICT done, Index* RESTRICT first, int round, Index nx, Index ny, Index nz),
       (cost, state, tree, done, first, round, nx, ny, nz)) {
  Index n = nx * ny * nz, count = done[round] ? 0 : n;
  FOR_VOXELS(i, count) {
    Index root = root_of(tree[i]), key = NO_EDGE, stride = n;
    if (state[i] != 1 || root == n) continue;
    for (int axis = 0; axis < 3; ++axis) {
      stride = axis == 0 ? ny * nz : (axis == 1 ? nz : 1);
      if (i + stride < n) key = smaller_key(key, cost, state, tree, root, i, i + stride, axis, n);
      if (i >= stride) key = smaller_key(key, cost, state, tree, root, i - stride, i - stride, axis, n);
    }
    if (key != NO_EDGE) atomic_min(&first[root], key);
  }
}

// link[root] = the root that the tree joins and the turns between the two; the root itself for a tree that stays. Of
// two trees with the same first edge, the one with the larger root stays.
KERNEL(romeo_link,
       (const float* RESTRICT phase, const u8* RESTRICT state, const Index* RESTRICT tree,
        const Index* RESTRICT first, Index* RESTRICT link, Index* RESTRICT done, int round, Index nx, Index ny,
        Index nz),
       (phase, state, tree, first, link, done, round, nx, ny, nz)) {
  Index n = nx * ny * nz, count = done[round] ? 0 : n;
  FOR_VOXELS(i, count) {
    if (state[i] != 1 || root_of(tree[i]) != i) continue;
    Index key = first[i], target = tree_node(i, 0);
    if (key != NO_EDGE) {
      Index edge = key & (TURN_PLACE - 1), axis = edge % 3;
      Index end = edge / 3, other = end + (axis == 0 ? ny * nz : (axis == 1 ? nz : 1));
      if (root_of(tree[end]) != i) {
        Index swapped = end;
        end = other;
        other = swapped;
      }
      Index root = root_of(tree[other]);
      if (root == n || first[root] != key || i < root) {
        int step = whole_turns(phase[other] - phase[end]);
        target = tree_node(root, turns_of(tree[other]) + step - turns_of(tree[end]));
        atomic_min(&done[round + 1], 0);
      }
    }
    link[i] = target;
  }
}

// Every voxel follows the links from its root to a root that stays.
KERNEL(romeo_follow,
       (const u8* RESTRICT state, const Index* RESTRICT link, const Index* RESTRICT done, Index* RESTRICT tree,
        Index* RESTRICT first, int round, Index n),
       (state, link, done, tree, first, round, n)) {
  Index count = done[round] ? 0 : n;
  FOR_VOXELS(i, count) {
    Index root = root_of(tree[i]);
    if (state[i] != 1 || root == n) continue;
    int turns = turns_of(tree[i]);
    for (Index next = link[root]; root_of(next) != root; next = link[root]) {
      root = root_of(next);
      turns += turns_of(next);
      if (root == n) break;
    }
    if (root != root_of(tree[i])) tree[i] = tree_node(root, turns);
    if (root == i) first[i] = NO_EDGE;
  }
}
