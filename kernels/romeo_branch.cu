// Offset of each tree of ROMEO's forest, as a multiple of 2 pi: the median of the tree is shifted to the branch
// around 0, then a few turns are added if this improves the agreement of another echo with a phase that is linear in
// time through 0. Sums are integers, so their order and the machine do not matter.
#include "romeo_tree.h"

#define LANES 256
#define SEGMENT 2048
#define ANGLES 65536  // per turn
#define ANGLES_PER_RADIAN 10430.3783505f
#define MOST_TURNS 2
#define PENALTY 1043  // angles (0.1 rad) per turn away from the branch around 0

// Branch of voxel i: its turns from the branch around 0, not counting those of its tree.
FN int branch_of(const float* phase, Index node, Index i) { return turns_of(node) + whole_turns(phase[i]); }

// roots = 1 at the root of each tree; range (initially 0): the lowest branch of a voxel, and minus the highest.
KERNEL(romeo_roots,
       (const float* RESTRICT phase, const u8* RESTRICT state, const Index* RESTRICT tree, u8* RESTRICT roots,
        Index* RESTRICT range, Index n),
       (phase, state, tree, roots, range, n)) {
  FOR_VOXELS(i, n) {
    roots[i] = (u8)(state[i] == 1 && root_of(tree[i]) == i);
    if (state[i] == 1) {
      int branch = branch_of(phase, tree[i], i);
      if (branch < 0) atomic_min(&range[0], branch);
      if (branch > 0) atomic_min(&range[1], -branch);
    }
  }
}

// number[roots[k]] = k; medians start at the lowest branch, sums at 0.
KERNEL(romeo_reset,
       (const Index* RESTRICT roots, int* RESTRICT number, Index* RESTRICT median, Index* RESTRICT counts,
        Index* RESTRICT sine, int lowest, Index trees, Index n),
       (roots, number, median, counts, sine, lowest, trees, n)) {
  FOR_VOXELS(k, trees) {
    number[roots[k]] = (int)k;
    median[k] = lowest;
    counts[k] = 0;
    sine[k] = 0;
  }
}

// Adds value(voxel, number of its tree) to sums[number] for the waiting voxels of segment t. The tree of the first
// such voxel among 256 spread over the segment, to which most voxels belong, is summed across lanes.
template <class Value>
FN void add_by_tree(const u8* state, const Index* tree, const int* number, Index* sums, Index t, Index n,
                    Index* lanes, Index* probe, Value value) {
  Index start = t * SEGMENT;
  int count = (int)(n - start < SEGMENT ? n - start : SEGMENT);
  TILE_FOR(l, LANES) {
    int k = l * (SEGMENT / LANES);
    probe[l] = k < count && state[start + k] == 1 ? root_of(tree[start + k]) : -1;
    lanes[l] = 0;
  }
  TILE_SYNC();
  TILE_FOR(once, 1) {
    for (int l = 1; l < LANES && probe[0] < 0; ++l) probe[0] = probe[l];
  }
  TILE_SYNC();
  for (int base = 0; base < count; base += LANES) {
    TILE_FOR(l, LANES) {
      Index i = start + base + l;
      if (base + l < count && state[i] == 1) {
        Index root = root_of(tree[i]);
        int k = number[root];
        if (root == probe[0])
          lanes[l] += value(i, k);
        else
          atomic_add(&sums[k], value(i, k));
      }
    }
  }
  for (int half = LANES / 2; half > 0; half /= 2) {
    TILE_SYNC();
    TILE_FOR(l, half) { lanes[l] += lanes[l + half]; }
  }
  TILE_FOR(once, 1) {
    if (probe[0] >= 0) atomic_add(&sums[number[probe[0]]], lanes[0]);
  }
  TILE_SYNC();
}

// counts[k] += 2^32 for each voxel of tree k, plus 1 if its branch is below median[k] + step.
KERNEL(romeo_count,
       (const float* RESTRICT phase, const u8* RESTRICT state, const Index* RESTRICT tree,
        const int* RESTRICT number, const Index* RESTRICT median, Index* RESTRICT counts, int step, Index n,
        Index trees),
       (phase, state, tree, number, median, counts, step, n, trees)) {
  TILE_SHARED(Index, lanes, LANES);
  TILE_SHARED(Index, probe, LANES);
  FOR_TILES(t, (n + SEGMENT - 1) / SEGMENT) {
    add_by_tree(state, tree, number, counts, t, n, lanes, probe,
                [=](Index i, int k) { return TURN_PLACE + (branch_of(phase, tree[i], i) < median[k] + step); });
  }
}

// Raises a median by `step` if less than half of the tree's voxels lie below the result, and resets the counts. Over
// halving steps this yields the lower median.
KERNEL(romeo_narrow, (Index* RESTRICT median, Index* RESTRICT counts, int step, Index trees),
       (median, counts, step, trees)) {
  FOR_VOXELS(k, trees) {
    Index below = counts[k] & (TURN_PLACE - 1), voxels = counts[k] / TURN_PLACE;
    if (2 * below < voxels) median[k] += step;
    counts[k] = 0;
  }
}

// Sine of an angle, times 2^15, within 0.2 %: a parabola p, then 0.775 p + 0.225 p |p|.
FN int wave(int angle) {
  int x = (angle & (ANGLES - 1)) - (angle & (ANGLES >> 1)) * 2, size = x < 0 ? -x : x;
  int p = (size * (32768 - size)) >> 13, s = (p * (25395 + ((7373 * p) >> 15))) >> 15;
  return x < 0 ? -s : s;
}

// sums[k] += sine of (misfit of the other echo + shift) over tree k, misfit = other - ratio (phase + 2 pi turns).
// ratio is in units of 2^-16, the expected phase in units of 2^-16 turns: their product is a 32-bit fraction of a
// turn.
KERNEL(romeo_misfit,
       (const float* RESTRICT phase, const float* RESTRICT other, const u8* RESTRICT state,
        const Index* RESTRICT tree, const int* RESTRICT number, Index* RESTRICT sums, Index ratio, int shift,
        Index n, Index trees),
       (phase, other, state, tree, number, sums, ratio, shift, n, trees)) {
  TILE_SHARED(Index, lanes, LANES);
  TILE_SHARED(Index, probe, LANES);
  FOR_TILES(t, (n + SEGMENT - 1) / SEGMENT) {
    add_by_tree(state, tree, number, sums, t, n, lanes, probe, [=](Index i, int) {
      Index expected = (Index)fround(phase[i] * ANGLES_PER_RADIAN) + (Index)turns_of(tree[i]) * ANGLES;
      Index found = (Index)fround(other[i] * ANGLES_PER_RADIAN) + shift;
      return (Index)wave((int)((found * ANGLES - ratio * expected) >> 16 & (ANGLES - 1)));
    });
  }
}

// Angle of a vector, within 0.3 degrees; 0 for (0, 0).
FN int angle_of(Index re, Index im) {
  Index along = re < 0 ? -re : re, across = im < 0 ? -im : im;
  Index large = along > across ? along : across, small = along > across ? across : along;
  if (large == 0) return 0;
  int t = (int)(small * 32768 / large), angle = (t * (8192 + ((2847 * (32768 - t)) >> 15))) >> 15;
  if (across > along) angle = 16384 - angle;
  if (re < 0) angle = 32768 - angle;
  return im < 0 ? -angle : angle;
}

// Turns to add to each tree: minus its median, plus those for the best agreement of the other echo.
KERNEL(romeo_branch,
       (const Index* RESTRICT median, const Index* RESTRICT cosine, const Index* RESTRICT sine,
        Index* RESTRICT added, Index ratio, Index trees),
       (median, cosine, sine, added, ratio, trees)) {
  FOR_VOXELS(k, trees) {
    Index centred = -median[k], best = 0;
    int angle = angle_of(cosine[k], sine[k]), lowest = ANGLES;
    for (int size = 0; size <= MOST_TURNS; ++size)
      for (int sign = 1; sign >= -1; sign -= 2) {
        int rest = (int)((angle - ratio * (centred + sign * size)) & (ANGLES - 1));
        int misfit = (rest > ANGLES >> 1 ? ANGLES - rest : rest) + PENALTY * size;
        if (misfit < lowest) {
          lowest = misfit;
          best = sign * size;
        }
      }
    added[k] = centred + best;
  }
}

// Phase plus 2 pi times `turns`; 2 pi is split into two floats, so that both products are exact, fused or not.
FN float turned(float phase, Index turns) {
  double t = (double)turns, value = phase;
  value = value + (double)TWO_PI_F * t;
  return (float)(value - (double)TWO_PI_EXCESS_F * t);
}

// Phase plus the turns of each voxel and of its tree; 0 outside the mask.
KERNEL(romeo_turn,
       (const float* RESTRICT phase, const u8* RESTRICT state, const Index* RESTRICT tree,
        const int* RESTRICT number, const Index* RESTRICT added, float* RESTRICT unwrapped, Index n,
        Index trees),
       (phase, state, tree, number, added, unwrapped, n, trees)) {
  FOR_VOXELS(i, n) {
    float value = 0.0f;
    if (state[i] == 1) value = turned(phase[i], turns_of(tree[i]) + added[number[root_of(tree[i])]]);
    unwrapped[i] = value;
  }
}

// Adds the turns of the waiting voxels connected to settled ones, that is, those of the tree with root n.
KERNEL(romeo_continue,
       (const float* RESTRICT phase, const u8* RESTRICT state, const Index* RESTRICT tree,
        float* RESTRICT unwrapped, Index n),
       (phase, state, tree, unwrapped, n)) {
  FOR_VOXELS(i, n) {
    float value = phase[i];
    if (state[i] == 1 && root_of(tree[i]) == n) value = turned(value, turns_of(tree[i]));
    unwrapped[i] = value;
  }
}
