// Joint non-local means for the case that the difference of two patches is symmetric, that is, without a noise
// map. Each pair of voxels is weighted once for both.
//
//   w(i, i + s) = w(i + s, i):   sum(i) += w v(i + s),   sum(i + s) += w v(i)
//
// s runs over half of the search window. The weights of a shift are computed for the tile and for the tile
// moved by -s, so no tile writes to another. This is the CPU's form: it makes use of vectors, registers and
// both levels of the cache. nlm.cu is the variant for GPUs.
//
// A band of rows passes through the planes of a tile with all shifts that are consecutive along a row, in
// groups of up to GROUP. Squares are summed over y in registers, over x with a ring of planes, over z from
// neighbouring columns. Weighted sums for voxels i stay in registers over a group; those for voxels i + s are
// collected afterwards, row by row. Bands and planes advance so that in each group a voxel receives from i - s
// first, then from i + s: its sums do not depend on where tiles and bands begin.
#include "nlm_pairs.h"

// First and last column of each row of candidates that a tile looks at; rows begin MAX_SEARCH before the tile.
struct Extents {
  int *from, *to;
};

FN void find_extents(Extents e, const float* reach, Tile t, Volume v, int x, int y, int z) {
  TILE_FOR(row, MOST_PLANES * MOST_ROWS) {
    int plane = row / MOST_ROWS - MAX_SEARCH, line = row % MOST_ROWS - MAX_SEARCH;
    int from = -z, to = t.width + z;
    if (plane < -x || plane >= t.depth + x || line < -y || line >= t.rows + y) to = from;
    const float* at = reach + plane * v.x + line * v.y;
    while (from < to && at[from] < 0.0f) ++from;
    while (from < to && at[to - 1] < 0.0f) --to;
    e.from[row] = from;
    e.to[row] = to;
  }
}

struct Rows {
  int from, to;
};

// Whether a voxel of plane x and row y receives from the voxels at a shift, and whether it gives to them.
FN bool receives(Tile t, int x, int y) { return x >= 0 && x < t.depth && y >= 0 && y < t.rows; }

// Columns of plane x in which voxels of a band of rows form pairs of candidates that the tile needs.
FN Span pairs_of(Extents e, Tile t, Shifts s, int x, Rows band) {
  int from = 2 * STRIDE, to = -2 * STRIDE;
  for (int y = band.from; y < band.to; ++y) {
    bool gathers = receives(t, x, y), scatters = receives(t, x + s.x, y + s.y);
    if (!gathers && !scatters) continue;
    int own = (x + MAX_SEARCH) * MOST_ROWS + y + MAX_SEARCH, other = own + s.x * MOST_ROWS + s.y,
        last = s.z + s.count - 1;
    int low = most_of(e.from[own], e.from[other] - last), high = least(e.to[own], e.to[other] - s.z);
    low = most_of(low, scatters ? least(gathers ? 0 : -last, -last) : 0);
    high = least(high, scatters ? most_of(gathers ? t.width : t.width - s.z, t.width - s.z) : t.width);
    if (low >= high) continue;
    from = least(from, low);
    to = most_of(to, high);
  }
  return from < to ? whole_strips(from, to) : Span{0, 0};
}

// State of a group while its band passes through the planes.
struct Pass {
  Shifts shifts;
  Span* spans;  // of the planes from -shifts.x on
  int first, last, base;  // planes with pairs, and the first column in scratch memory
};

FN Pass pass_of(Shifts s, Span* spans, int depth) {
  Pass p = {s, spans, depth, -MAX_SEARCH - 1, 0};
  for (int x = -s.x; x < depth; ++x) {
    Span span = spans[x + s.x];
    if (span.from >= span.to) continue;
    p.base = p.last < p.first ? span.from : least(p.base, span.from);
    p.first = least(p.first, x);
    p.last = x;
  }
  return p;
}

// Columns of the sums at plane x: those of all planes with pairs within the patch.
FN Span columns_of(Pass p, int x, int patch_x, int patch_z) {
  int from = 2 * STRIDE, to = -2 * STRIDE;
  for (int c = most_of(p.first, x - patch_x); c <= least(p.last, x + patch_x); ++c) {
    Span span = p.spans[c + p.shifts.x];
    if (span.from >= span.to) continue;
    from = least(from, span.from);
    to = most_of(to, span.to);
  }
  if (from >= to) return {0, 0};
  return {from - p.base, floor_strip(to - p.base + 2 * patch_z + STRIP - 1)};
}

struct Image {
  const float *guide, *values, *reach;  // the tile's first voxel
  Volume v;
  int count, patch_x, patch_y, patch_z;
};

struct Scratch {
  float *sums, *ring, *weights, *spare;
};

// Weighs the pairs of plane x for the rows of a band and adds what both voxels receive.
FN void weigh_band(Image im, Scratch s, Pass p, Tile t, Sums out, Volume o, Rule rule, int x, Rows band) {
  Shifts f = p.shifts;
  Span span = p.spans[x + f.x];
  float* w = s.weights + 2 * STRIP - p.base;
  for (int k = 0; k < f.count; ++k) {
    TILE_STRIPS(i, span.from - 2 * STRIP, span.from) put_strip(w + k * LINE + i, strip_of(0.0f));
    TILE_STRIPS(i, span.to, span.to + 2 * STRIP) put_strip(w + k * LINE + i, strip_of(0.0f));
  }
  for (int y = band.from; y < band.to; ++y) {
    bool gathers = receives(t, x, y), scatters = receives(t, x + f.x, y + f.y);
    if (!gathers && !scatters) continue;
    Index at = x * im.v.x + y * im.v.y, shift = f.x * im.v.x + f.y * im.v.y + f.z;
    Sums none = {s.spare - p.base, s.spare + BLOCK * LINE - p.base, nullptr, LINE, out.count, 0}, own = out;
    Index to = x * o.x + y * o.y;
    own.filtered += to, own.total += to, own.peak += to;
    int inner = most_of(span.from, 0), end = least(span.to, t.width);
    Span parts[3] = {{span.from, least(span.to, 0)}, {inner, end}, {most_of(span.from, t.width), span.to}};
    for (int part = 0; part < 3; ++part) {
      if ((part != 1 && !scatters) || parts[part].from >= parts[part].to) continue;
      weigh_row(im.patch_z, w, s.sums + (y - band.from) * STRIDE - p.base, im.reach + at, im.values + at, shift,
                im.v.next, f.count, rule, part == 1 && gathers ? own : none, parts[part]);
    }
    TILE_SYNC();
    if (gathers) add_rest(BLOCK, own, w, 0, im.values + at + shift, 1, im.v.next, f.count, parts[1]);
    if (scatters) {
      Sums beyond = out;
      Index there = (x + f.x) * o.x + (y + f.y) * o.y;
      beyond.filtered += there, beyond.total += there, beyond.peak += there;
      Span reached = {floor_strip(most_of(span.from + f.z, 0)), least(span.to + f.z + f.count - 1, t.width)};
      if (gathers && f.x == 0 && f.y == 0) TILE_SYNC();
      add_rest(0, beyond, w - f.z, -1, im.values + at - f.z, -1, im.v.next, f.count, reached);
    }
    TILE_SYNC();
  }
}

// All shifts of the groups for a band of rows, plane by plane.
FN void pass_band(Image im, Scratch s, const Pass* passes, int groups, Tile t, Sums out, Volume o, Rule rule,
                  Rows band) {
  int slots = 2 * im.patch_x, rows = band.to - band.from, first = DEPTH, last = -MAX_SEARCH - 1;
  for (int g = 0; g < groups; ++g) {
    first = least(first, passes[g].first);
    last = most_of(last, passes[g].last);
  }
  for (int x = first - im.patch_x; x <= last + im.patch_x; ++x) {
    for (int g = 0; g < groups; ++g) {
      Pass p = passes[g];
      int centre = x - im.patch_x;
      Shifts f = p.shifts;
      Ring ring = {s.ring + g * GROUP * slots * PLANE, slots,
                   slots > 0 ? (x + 4 * MAX_SEARCH * slots) % slots : 0};
      Index own = x * im.v.x + (band.from - im.patch_y) * im.v.y + p.base - im.patch_z;
      Index shift = f.x * im.v.x + f.y * im.v.y + f.z;
      sum_group(im.patch_y, s.sums, ring, im.guide + own, shift, im.v, im.count, rows,
                columns_of(p, x, im.patch_x, im.patch_z), f.count, g == 0 ? im.v.x : 0);
      TILE_SYNC();
      if (centre < p.first || centre > p.last || p.spans[centre + f.x].from >= p.spans[centre + f.x].to)
        continue;
      weigh_band(im, s, p, t, out, o, rule, centre, band);
    }
  }
}

struct Search {
  int x, y, z;
};

// Pairs at distance (x, y, z + k), k < count, in one or two groups, band by band. Voxels of earlier rows, or if
// y < 0 of later ones, come first.
FN void pass_tile(Image im, Scratch s, Extents e, Span* spans, Tile t, Sums out, Volume o, Rule rule,
                  Shifts all) {
  int groups = (all.count + GROUP - 1) / GROUP, each = (all.count + groups - 1) / groups;
  int low = all.y > 0 ? -all.y : 0, high = all.y < 0 ? t.rows - all.y : t.rows;
  int bands = (high - low + BAND - 1) / BAND;
  for (int b = 0; b < bands; ++b) {
    int start = low + (all.y < 0 ? bands - 1 - b : b) * BAND;
    Rows band = {start, least(start + BAND, high)};
    Pass passes[GROUPS];
    Shifts part[GROUPS];
    for (int g = 0; g < groups; ++g) {
      part[g] = {all.x, all.y, all.z + g * each, least(each, all.count - g * each)};
      Span* to = spans + g * (DEPTH + MAX_SEARCH);
      TILE_FOR(x, t.depth + all.x) to[x] = pairs_of(e, t, part[g], x - all.x, band);
    }
    TILE_SYNC();
    for (int g = 0; g < groups; ++g) passes[g] = pass_of(part[g], spans + g * (DEPTH + MAX_SEARCH), t.depth);
    pass_band(im, s, passes, groups, t, out, o, rule, band);
    TILE_SYNC();
  }
}

// All shifts of half of the search window. Groups of shifts within a plane pass one after the other, so that
// their order does not depend on the bands.
FN void filter_tile(Image im, Scratch s, Extents e, Span* spans, Tile t, Sums out, Volume o, Rule rule,
                    Search r) {
  int held = im.patch_x > 0 ? RING / (2 * im.patch_x) : GROUP * GROUPS;
  for (int x = 0; x <= r.x; ++x) {
    int together = least(held, x > 0 ? GROUP * GROUPS : GROUP);
    for (int y = x > 0 ? -r.y : 0; y <= r.y; ++y) {
      int z = x > 0 || y > 0 ? -r.z : 1, count = r.z + 1 - z;
      int passes = (count + together - 1) / together, each = passes > 0 ? (count + passes - 1) / passes : 1;
      for (; z <= r.z; z += each)
        pass_tile(im, s, e, spans, t, out, o, rule, Shifts{x, y, z, least(each, r.z + 1 - z)});
    }
  }
}

// Arguments as in nlm.cu except for `reach`: the largest sum of squares with a weight for candidates, -1
// elsewhere. nz is a multiple of 16.
KERNEL(nlm_pairs,
       (const float* RESTRICT guide, const float* RESTRICT values, const float* RESTRICT reach,
        const u8* RESTRICT mask, float* RESTRICT filtered, float* RESTRICT total, float* RESTRICT peak,
        float scale, float offset, float most, int search_x, int search_y, int search_z, int patch_x,
        int patch_y, int patch_z, int self_peak, Index components, Index px, Index py, Index pz, Index nx,
        Index ny, Index nz),
       (guide, values, reach, mask, filtered, total, peak, scale, offset, most, search_x, search_y, search_z,
        patch_x, patch_y, patch_z, self_peak, components, px, py, pz, nx, ny, nz)) {
  TILE_SHARED(float, sums, GROUP* PLANE);
  TILE_SHARED(float, ring, RING* PLANE);
  TILE_SHARED(float, weights, GROUP* LINE);
  TILE_SHARED(float, spare, (BLOCK + 1) * LINE);
  TILE_SHARED(int, from, MOST_PLANES* MOST_ROWS);
  TILE_SHARED(int, to, MOST_PLANES* MOST_ROWS);
  TILE_SHARED(Span, spans, GROUPS * (DEPTH + MAX_SEARCH));
  TILE_SHARED(int, filled, ROWS);
  Volume in = {pz, py * pz, px * py * pz}, out = {nz, ny * nz, nx * ny * nz};
  Scratch scratch = {sums, ring, weights, spare};
  Extents extents = {from, to};
  Search search = {search_x, search_y, search_z};
  Rule rule = {scale, offset, most};
  int count = (int)components;
  Index tiles = (nx + DEPTH - 1) / DEPTH * ((ny + ROWS - 1) / ROWS) * ((nz + COLUMNS - 1) / COLUMNS);
  FOR_TILES(number, tiles) {
    Tile t = tile_at(number, nx, ny, nz, DEPTH, ROWS, COLUMNS);
    Index origin = (t.x * ny + t.y) * nz + t.z;
    Index corner =
        (t.x + search_x + patch_x) * in.x + (t.y + search_y + patch_y) * in.y + t.z + search_z + patch_z;
    Image im = {guide + corner, values + corner, reach + corner, in, count, patch_x, patch_y, patch_z};
    Sums result = {filtered + origin, total + origin, peak + origin, out.next, count, self_peak};
    find_filled(filled, mask + origin, t, out);
    find_extents(extents, reach + corner, t, in, search_x, search_y, search_z);
    clear(filtered + origin, count, t, out);
    clear(total + origin, 1, t, out);
    clear(peak + origin, 1, t, out);
    TILE_SYNC();
    int any = 0;
    for (int j = 0; j < t.rows; ++j) any |= filled[j];
    if (any) filter_tile(im, scratch, extents, spans, t, result, out, rule, search);
    finish(filtered + origin, total + origin, peak + origin, values + corner, mask + origin, count, self_peak,
           t, out, in);
    TILE_SYNC();
  }
}
