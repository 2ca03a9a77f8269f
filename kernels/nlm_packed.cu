// Joint non-local means of nlm.cu with patches of 3 x 3 x 3 voxels and w_0 = 1, for GPUs.
//
// A tile consists of ROWS rows of DEPTH planes, 30 voxels wide. Each strand of 32 lanes passes through its planes
// with up to GROUP shifts that are consecutive along y. A lane holds one column of ROWS voxels; the first and last
// lanes of a strand only provide neighbours. The strands of a tile process different shifts; at each plane their
// weighted sums are added and written to memory.
//
// Sums over the patch are computed in registers along y (ROWS + 2 differences for ROWS voxels), plane by plane along
// x, and over adjacent lanes along z. Their order does not depend on the tile, and neither does the result of a
// voxel.
#include "nlm.h"

#define STRAND 32
#define STRANDS (TILE_LANES / STRAND)
#define USED (STRAND - 2)
#define ROWS 6
#define DEPTH 29
#define GROUP 6
#define WINDOW (ROWS * GROUP)
// Sums of a plane that a strand collects: of up to 4 components and the weights.
#define TURNS ((5 + STRANDS - 1) / STRANDS)

// N components of a voxel.
template <int N>
struct alignas(4 * N) Pack {
  float at[N];
};

// Voxels of a column.
struct alignas(8) Rows {
  float at[ROWS];
};

// Sums over y of the squared differences of a plane, for K shifts along y: sum (j, k) for voxel j and shift k.
template <int N, int K, bool FIRST, bool MAPPED>
FN void add_differences(float* sums, const Pack<N>* own, const Pack<N>* other, const float* precision,
                        Index row, int l) {
  Pack<N> here[ROWS + 2];
  float q[ROWS + 2];
  for (int j = 0; j < ROWS + 2; ++j) {
    here[j] = own[j * row];
    q[j] = MAPPED ? precision[j * row] : 1.0f;
  }
#pragma unroll
  for (int r = 0; r < ROWS + 1 + K; ++r) {
    Pack<N> there = other[r * row];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      int j = r - k;
      if (j < 0 || j > ROWS + 1) continue;
      float d = 0.0f;
      for (int c = 0; c < N; ++c) {
        float step = here[j].at[c] - there.at[c];
        d += step * step;
      }
      if (MAPPED) d *= q[j];
#pragma unroll
      for (int s = 0; s < ROWS; ++s) {
        if (s < j - 2 || s > j) continue;
        OF(sums, s * GROUP + k, l) = FIRST && s == j ? d : OF(sums, s * GROUP + k, l) + d;
      }
    }
  }
}

// Weighted sums of a lane's voxels over K shifts: N components, then the sum of the weights. PLAIN: all K shifts
// count, no cost is negative, and small weights are kept.
template <int N, int K, bool PLAIN>
FN void add_weighted(Rows* parts, const float* t, const Pack<N>* values, const float* shift, Index row,
                     int count, Rule rule) {
  Rows sum[N + 1] = {};
  float most[K];  // where there is no shift, no cost is below it
  for (int k = 0; k < K; ++k) most[k] = k < count ? rule.most : -1.0f;
#pragma unroll
  for (int r = 0; r < ROWS - 1 + K; ++r) {
    Pack<N> v = values[r * row];
    float offset = shift[r * row];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      int j = r - k;
      if (j < 0 || j >= ROWS) continue;
      float cost = t[j * GROUP + k] * rule.scale + offset, weight;
      if (PLAIN) {
        weight = power_or_nothing(cost);
      } else {
        cost = fmax2(cost, 0.0f);
        weight = cost <= most[k] ? power_minus(cost) : 0.0f;
      }
      for (int c = 0; c < N; ++c) sum[c].at[j] += weight * v.at[c];
      sum[N].at[j] += weight;
    }
  }
  for (int c = 0; c <= N; ++c) parts[c * STRAND] = sum[c];
}

// Shifts that a strand processes together: `count` of K along y, starting with the shift that leads from voxel i to i
// + shift. `full` stands for GROUP.
struct Shifts {
  int shift, count, full;
};

// Group `number` of the shifts in the search window: the first along y hold GROUP, the last GROUP - 1; empty after
// the last.
FN Shifts shifts_of(int number, int search_x, int search_y, int search_z, Volume in) {
  int wide_y = 2 * search_y + 1, wide_z = 2 * search_z + 1, groups = (wide_y + GROUP - 1) / GROUP;
  int last = (2 * search_x + 1) * groups * wide_z - 1, n = number < last ? number : last;
  int x = n / (groups * wide_z), group = n / wide_z % groups, z = n % wide_z;
  int rest = wide_y - (GROUP - 1) * groups, y = group * (GROUP - 1) + (group < rest ? group
                                                                       : rest > 0   ? rest
                                                                                    : 0);
  Shifts s;
  s.full = group < rest && number <= last;
  s.shift = (x - search_x) * (int)in.x + (y - search_y) * (int)in.y + z - search_z;
  s.count = number > last ? 0 : wide_y - y;
  return s;
}

// Position of a lane: `from` its first row in a padded volume, `to` its first row in an image, and the number of its
// rows inside the image, 0 for a lane that only provides neighbours.
struct Place {
  int from, to, rows;
};

// Lanes are consecutive along rows of nz + 2 voxels; the rows of all groups of ROWS rows follow one another.
FN Place place_of(Index tile, int lane, int search_y, int search_z, Index pz, Index ny, Index nz) {
  Index last = (ny + ROWS - 1) / ROWS * (nz + 2) - 1, at = tile * USED + lane, inner = at < last ? at : last;
  Index y = inner / (nz + 2) * ROWS, z = inner % (nz + 2) - 1;
  Place p;
  p.from = (int)((y + search_y + 1) * pz + z + search_z + 1);
  p.to = (int)(y * nz + z);
  int used = lane > 0 && lane <= USED && at <= last && z >= 0 && z < nz;
  p.rows = !used ? 0 : ny - y < ROWS ? (int)(ny - y) : ROWS;
  return p;
}

struct Images {
  const float *guide, *values, *precision, *offset;
  float *filtered, *total;
  Volume in, out;
  int packs, count, mapped, plain;
};

template <int N, bool FIRST, bool MAPPED>
FN void add_pack(float* sums, Images v, Index at, Shifts s, int pack, int l) {
  const Pack<N>* own = (const Pack<N>*)v.guide + pack * v.in.next + at;
  const float* q = v.precision + (MAPPED ? at : 0);
  if (s.full) add_differences<N, GROUP, FIRST, MAPPED>(sums, own, own + s.shift, q, v.in.y, l);
  if (!s.full) add_differences<N, GROUP - 1, FIRST, MAPPED>(sums, own, own + s.shift, q, v.in.y, l);
}

// Sums of squared differences over y for the plane that begins with voxel `at`; from them, over x, the sums around
// the preceding plane.
template <int N>
FN void measure(float* sums, float* ring, Images v, Index at, Shifts s, int l) {
  if (v.mapped) add_pack<N, true, true>(sums, v, at - v.in.y, s, 0, l);
  if (!v.mapped) add_pack<N, true, false>(sums, v, at - v.in.y, s, 0, l);
  for (int pack = 1; N == 4 && pack < v.packs; ++pack) {
    if (v.mapped) add_pack<N, false, true>(sums, v, at - v.in.y, s, pack, l);
    if (!v.mapped) add_pack<N, false, false>(sums, v, at - v.in.y, s, pack, l);
  }
#pragma unroll
  for (int i = 0; i < WINDOW; ++i) {
    float fresh = OF(sums, i, l), before = AT(ring, 2 * i, l);
    OF(sums, i, l) = AT(ring, 2 * i + 1, l) + fresh;
    AT(ring, 2 * i + 1, l) = before + fresh;
    AT(ring, 2 * i, l) = fresh;
  }
}

// Weighted sums of the components of a pack over K shifts, and of the weights.
template <int N, int K, bool PLAIN>
FN void weigh(Rows* parts, const float* sums, Images v, Index at, Shifts s, int pack, Rule rule, int l) {
  float near[WINDOW];
#pragma unroll
  for (int i = 0; i < WINDOW; ++i) {
    if (i % GROUP >= K) continue;
    near[i] = (BESIDE(sums, i, l, STRAND - 1) + OF(sums, i, l)) + BESIDE(sums, i, l, 1);
  }
  const Pack<N>* values = (const Pack<N>*)v.values + pack * v.in.next + at + s.shift;
  add_weighted<N, K, PLAIN>(parts, near, values, v.offset + at + s.shift, v.in.y, s.count, rule);
}

// A strand's contribution to a plane, in the variant that its shifts allow.
template <int N>
FN void weigh_shifts(Rows* parts, const float* sums, Images v, Index at, Shifts s, int pack, Rule rule, int l) {
  if (v.plain && s.full) return weigh<N, GROUP, true>(parts, sums, v, at, s, pack, rule, l);
  if (v.plain && s.count >= GROUP - 1) return weigh<N, GROUP - 1, true>(parts, sums, v, at, s, pack, rule, l);
  if (s.full) return weigh<N, GROUP, false>(parts, sums, v, at, s, pack, rule, l);
  weigh<N, GROUP - 1, false>(parts, sums, v, at, s, pack, rule, l);
}

// Address of the sums of a plane: component `c` of a pack of N, or after these the weights; null if there is no such
// sum.
template <int N>
FN float* sums_of(Images v, int pack, int c, Index at) {
  if (c > N || (c < N && pack * N + c >= v.count)) return nullptr;
  return (c < N ? v.filtered + (pack * N + c) * v.out.next : v.total) + at;
}

// Sums of a column's voxels from earlier rounds; loaded early, so that they have arrived when the barrier ends.
FN Rows sums_before(const float* from, Index row, int rows, int first) {
  Rows sum = {};
#pragma unroll
  for (int j = 0; j < ROWS; ++j)
    if (from && !first && j < rows) sum.at[j] = from[j * row];
  return sum;
}

// Adds the strands' contributions to a plane to `sum`, for the voxels of a column, `row` apart in memory.
FN void collect(float* to, Rows sum, Index row, const Rows* parts, int strand, int rows) {
  if (!to) return;
  for (int s = 0; s < STRANDS; ++s) {
    Rows part = parts[s * strand];
    for (int j = 0; j < ROWS; ++j) sum.at[j] += part.at[j];
  }
#pragma unroll
  for (int j = 0; j < ROWS; ++j)
    if (j < rows) to[j * row] = sum.at[j];
}

// Weighted means from the weighted sums of a plane; 0 outside the mask.
FN void divide(Images v, const u8* mask, Index at, Place p, int first, int count, int number) {
  for (int j = number; j < p.rows; j += STRANDS) {
    Index i = at + p.to + j * v.out.y;
    for (int c = first; c < first + count && c < v.count; ++c)
      v.filtered[c * v.out.next + i] = mask[i] ? v.filtered[c * v.out.next + i] / v.total[i] : 0.0f;
    v.total[i] = mask[i] ? v.total[i] : 0.0f;
  }
}

// One pack of a tile's components, all shifts.
template <int N>
FN void filter(Rows* parts, Rows* before, float* sums, float* ring, Place* place, Shifts* shifts, Images v,
               const u8* mask, int start, int depth, int pack, int search_x, int search_y, int search_z,
               Rule rule) {
  int groups = (2 * search_x + 1) * (2 * search_z + 1) * ((2 * search_y + GROUP) / GROUP);
  for (int first = 0; first < groups; first += STRANDS) {
    FOR_LANES(l) {
      AT(shifts, 0, l) = shifts_of(first + l / STRAND, search_x, search_y, search_z, v.in);
      for (int i = 0; i < 2 * WINDOW; ++i) AT(ring, i, l) = 0.0f;
    }
    Index at = (start + search_x) * v.in.x;
    for (int x = 0; x < depth + 2; ++x, at += v.in.x) {
      FOR_LANES(l) measure<N>(sums, ring, v, at + AT(place, 0, l).from, AT(shifts, 0, l), l);
      LANE_SYNC();
      if (x < 2) continue;
      Index plane = (start - 2 + x) * v.out.x;
      FOR_LANES(l) {
        Rows* own = parts + l / STRAND * ((N + 1) * STRAND) + l % STRAND;
        Shifts of = AT(shifts, 0, l);
        Index center = at - v.in.x + AT(place, 0, l).from;
        weigh_shifts<N>(own, sums, v, center, of, pack, rule, l);
        for (int i = 0; i < TURNS; ++i) {
          float* from = sums_of<N>(v, pack, i * STRANDS + l / STRAND, plane + AT(place, 0, l).to);
          AT(before, i, l) = sums_before(from, v.out.y, AT(place, 0, l).rows, first == 0);
        }
      }
      TILE_SYNC();
      FOR_LANES(l) {
        for (int i = 0; i < TURNS; ++i) {
          int c = i * STRANDS + l / STRAND;
          float* to = sums_of<N>(v, pack, c, plane + AT(place, 0, l).to);
          collect(to, AT(before, i, l), v.out.y, parts + c * STRAND + l % STRAND, (N + 1) * STRAND,
                  AT(place, 0, l).rows);
        }
      }
      TILE_SYNC();
    }
  }
  for (int x = 0; x < depth; ++x) {
    FOR_LANES(l) divide(v, mask, (start + x) * v.out.x, AT(place, 0, l), pack * N, N, l / STRAND);
  }
}

// Writes zeros to a tile without voxels to filter.
FN void clear_tile(Images v, Place* place, int start, int depth) {
  for (int c = 0; c <= v.count; ++c)
    for (int x = 0; x < depth; ++x) {
      float* to = (c < v.count ? v.filtered + c * v.out.next : v.total) + (start + x) * v.out.x;
      FOR_LANES(l) {
        for (int j = l / STRAND; j < AT(place, 0, l).rows; j += STRANDS)
          to[AT(place, 0, l).to + j * v.out.y] = 0.0f;
      }
    }
}

// Padded arrays as in nlm.cu except for the number of rows: that of the image, rounded up to a multiple of ROWS, plus
// the margins and GROUP - 2. A voxel holds `pack` components (1, 2 or 4); there are as many volumes as needed, and
// the last is filled up with 0. precision: one map per component, or none.
// offset: that of the rule, negated, for candidates; 1e30 elsewhere. plain: the rule's offset is 0 and no weight is
// cut off.
KERNEL(nlm_packed,
       (const float* RESTRICT guide, const float* RESTRICT values, const float* RESTRICT precision,
        const float* RESTRICT offset, const u8* RESTRICT mask, float* RESTRICT filtered, float* RESTRICT total,
        float scale, float most, int plain, int search_x, int search_y, int search_z, Index packs, Index px,
        Index py, Index pz, Index pack, Index maps, Index nx, Index ny, Index nz, Index components),
       (guide, values, precision, offset, mask, filtered, total, scale, most, plain, search_x, search_y,
        search_z, packs, px, py, pz, pack, maps, nx, ny, nz, components)) {
  TILE_SHARED(Rows, parts, STRANDS * 5 * STRAND);
  TILE_SHARED(int, filled, TILE_LANES);
  PRIVATE(Rows, before, TURNS);
  PRIVATE(Place, place, 1);
  PRIVATE(Shifts, shifts, 1);
  PRIVATE(float, ring, 2 * WINDOW);
  JOINED(float, sums, WINDOW);
  Volume in = {pz, py * pz, px * py * pz}, out = {nz, ny * nz, nx * ny * nz};
  Images v = {guide, values, precision,  offset,          filtered, total,
              in,    out,    (int)packs, (int)components, maps > 0, plain};
  Rule rule = {scale, 0.0f, most};
  Index tiles = ((ny + ROWS - 1) / ROWS * (nz + 2) + USED - 1) / USED, layers = (nx + DEPTH - 1) / DEPTH;
  FOR_TILES(number, tiles * layers) {
    int start = (int)(number / tiles) * DEPTH;
    int depth = (int)(nx - start < DEPTH ? nx - start : DEPTH);
    FOR_LANES(l) {
      Place p = place_of(number % tiles, l % STRAND, search_y, search_z, pz, ny, nz);
      int any = 0;
      for (int x = l / STRAND; x < depth; x += STRANDS)
        for (int j = 0; j < p.rows; ++j) any |= mask[(start + x) * out.x + p.to + j * nz];
      AT(place, 0, l) = p;
      filled[l] = any;
    }
    TILE_SYNC();
    int any = 0;
    for (int l = 0; l < TILE_LANES; ++l) any |= filled[l];
    if (!any) clear_tile(v, place, start, depth);
    for (int k = 0; k < (any ? (int)packs : 0); ++k) {
      if (pack == 1)
        filter<1>(parts, before, sums, ring, place, shifts, v, mask, start, depth, k, search_x, search_y,
                  search_z, rule);
      if (pack == 2)
        filter<2>(parts, before, sums, ring, place, shifts, v, mask, start, depth, k, search_x, search_y,
                  search_z, rule);
      if (pack == 4)
        filter<4>(parts, before, sums, ring, place, shifts, v, mask, start, depth, k, search_x, search_y,
                  search_z, rule);
    }
    TILE_SYNC();
  }
}
