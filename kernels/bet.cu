// Evolution of a closed triangulated surface onto the brain, as in BET (10.1002/hbm.10062), and the voxels inside it.
//
// Positions are in mm; voxel (i, j, k) lies at (i hx, j hy, k hz). The image is 0 outside its grid. One tile moves
// the whole surface: each step depends on the previous one, and a few thousand vertices do not fill more tiles.
#include "vmath.h"

#define RING 6
#define PARTS 256  // partial sums of the edge lengths

struct Vector {
  float x, y, z;
};

FN Vector operator+(Vector a, Vector b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
FN Vector operator-(Vector a, Vector b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
FN Vector operator*(float s, Vector a) { return {s * a.x, s * a.y, s * a.z}; }
FN float dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
FN float length(Vector a) { return fsqrt(dot(a, a)); }
FN Vector cross(Vector a, Vector b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

struct Image {
  const float* values;
  int nx, ny, nz;
  float px, py, pz;  // voxels per mm
};

// Value of the voxel nearest to (x, y, z), given in voxels; 0 outside the grid.
FN float sample(Image v, float x, float y, float z) {
  int inside = x > -0.5f && y > -0.5f && z > -0.5f && x < v.nx - 0.5f && y < v.ny - 0.5f && z < v.nz - 0.5f;
  Index at = ((Index)(int)(x + 0.5f) * v.ny + (int)(y + 0.5f)) * v.nz + (int)(z + 0.5f);
  return inside ? v.values[at] : 0.0f;
}

struct Surface {
  const Vector* vertices;
  const int* ring;  // neighbours in order; the last is -1 for a vertex with five
};

FN int valence_of(Surface s, Index v) { return s.ring[RING * v + RING - 1] < 0 ? RING - 1 : RING; }
FN Vector neighbour(Surface s, Index v, int i) { return s.vertices[s.ring[RING * v + i]]; }

// Unit normal: area-weighted mean over the adjacent triangles.
FN Vector normal_of(Surface s, Index v) {
  int count = valence_of(s, v);
  Vector sum = {0.0f, 0.0f, 0.0f}, p = s.vertices[v], last = neighbour(s, v, count - 1) - p;
  for (int i = 0; i < count; ++i) {
    Vector next = neighbour(s, v, i) - p;
    sum = sum + cross(last, next);
    last = next;
  }
  float size = length(sum);
  return size > 0.0f ? (1.0f / size) * sum : sum;
}

struct Rules {
  float low, threshold, middle;  // intensities: background, lower bound of the maximum, brain
  float spacing;  // of the samples below a vertex: `far` of them, the maximum over the first `near`
  int near, far;
  float slope, centre;  // of the stiffness as a function of curvature
};

// Step along the normal in units of 0.05 edge lengths, positive inside the brain. `part`: intensity of the edge as a
// fraction of the range from `low` to the local maximum.
FN float pull(Image image, Rules rules, Vector p, Vector inwards, float part) {
  float lowest = rules.middle, highest = rules.threshold;
  float x = p.x * image.px, dx = rules.spacing * inwards.x * image.px;
  float y = p.y * image.py, dy = rules.spacing * inwards.y * image.py;
  float z = p.z * image.pz, dz = rules.spacing * inwards.z * image.pz;
  for (int k = 0; k <= rules.far; ++k) {
    float t = (float)k, value = sample(image, x + t * dx, y + t * dy, z + t * dz);
    lowest = fmin2(lowest, value);
    highest = k <= rules.near ? fmax2(highest, value) : highest;
  }
  lowest = fmax2(rules.low, lowest);
  highest = fmin2(rules.middle, highest);
  float edge = (highest - rules.low) * part + rules.low;
  return highest > rules.low ? 2.0f * (lowest - edge) / (highest - rules.low) : 0.0f;
}

// Fraction of the bend that a step removes: almost none above the largest radius, all of it below the smallest.
FN float stiffness(Rules rules, float bend, float edge_length) {
  float curvature = 2.0f * bend / (edge_length * edge_length);
  return 1.0f - 1.0f / (1.0f + fexp(2.0f * rules.slope * (curvature - rules.centre)));  // (1 + tanh) / 2
}

FN Vector moved(Surface s, Image image, Rules rules, float part, float edge_length, Index v) {
  Vector p = s.vertices[v], normal = normal_of(s, v), middle = {0.0f, 0.0f, 0.0f};
  int valence = valence_of(s, v);
  for (int i = 0; i < valence; ++i) middle = middle + neighbour(s, v, i);
  Vector offset = (1.0f / (float)valence) * middle - p;
  float bend = dot(offset, normal);
  Vector tangential = offset - bend * normal;
  float along = stiffness(rules, fabs1(bend), edge_length) * bend +
                0.05f * edge_length * pull(image, rules, p, -1.0f * normal, part);
  return p + 0.5f * tangential + along * normal;
}

// Moves the vertices [mm] by `iterations` steps; `next` is scratch. per_edge: 1 / number of entries in the ring
// table.
KERNEL(bet_evolve,
       (const float* RESTRICT image, const int* RESTRICT ring, const float* RESTRICT fraction,
        float* RESTRICT vertices, float* RESTRICT next, float px, float py, float pz, float low,
        float threshold, float middle, float spacing, int near, int far, float slope, float centre,
        float per_edge, int iterations, Index nx, Index ny, Index nz, Index nv),
       (image, ring, fraction, vertices, next, px, py, pz, low, threshold, middle, spacing, near, far, slope,
        centre, per_edge, iterations, nx, ny, nz, nv)) {
  TILE_SHARED(float, sums, PARTS);
  Image picture = {image, (int)nx, (int)ny, (int)nz, px, py, pz};
  Rules rules = {low, threshold, middle, spacing, near, far, slope, centre};
  FOR_TILES(tile, 1) {
    (void)tile;
    Vector *from = (Vector*)vertices, *to = (Vector*)next;
    for (int step = 0; step < iterations; ++step) {
      Surface s = {from, ring};
      TILE_FOR(k, PARTS) {
        float sum = 0.0f;
        for (Index v = k; v < nv; v += PARTS)
          for (int i = 0; i < valence_of(s, v); ++i) sum += length(neighbour(s, v, i) - from[v]);
        sums[k] = sum;
      }
      TILE_SYNC();
      for (int half = PARTS / 2; half > 0; half /= 2) {
        TILE_FOR(k, half) { sums[k] += sums[k + half]; }
        TILE_SYNC();
      }
      float edge_length = sums[0] * per_edge;
      TILE_FOR(v, (int)nv) { to[v] = moved(s, picture, rules, fraction[v], edge_length, v); }
      TILE_SYNC();
      Vector* swap = from;
      from = to;
      to = swap;
    }
    if (iterations % 2 == 1)
      TILE_FOR(k, 3 * (int)nv) { vertices[k] = next[k]; }
  }
}

struct Corner {
  double x, y, z;
};

FN Corner corner_of(const float* vertices, int v) {
  return {vertices[3 * (Index)v], vertices[3 * (Index)v + 1], vertices[3 * (Index)v + 2]};
}

// Twice the area of the triangle (a, b, (y, z)) projected along x. Reversing the edge changes only the sign of the
// result, exactly.
FN double side(const float* vertices, int a, int b, double y, double z) {
  int low = a < b ? a : b, high = a < b ? b : a;
  Corner p = corner_of(vertices, low), q = corner_of(vertices, high);
  double area = (q.y - p.y) * (z - p.z) - (q.z - p.z) * (y - p.y);
  return a < b ? area : -area;
}

// A point on an edge belongs to the triangle that traverses the edge from the lower to the higher vertex.
FN int on_left(double area, int a, int b) { return a < b ? area >= 0.0f : area > 0.0f; }

// First voxel at or after x, and last voxel at or before x; n or -1 if there is none on the grid.
FN Index first_voxel(double x, Index n) {
  if (!(x > 0.0f)) return 0;
  if (x > (double)n) return n;
  Index below = (Index)x;
  return below + ((double)below < x);
}
FN Index last_voxel(double x, Index n) { return !(x >= 0.0f) ? -1 : (x < (double)n ? (Index)x : n - 1); }

FN double least(double a, double b, double c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }
FN double most(double a, double b, double c) { return a > b ? (a > c ? a : c) : (b > c ? b : c); }

// crossings: +1 at the first voxel after a line along x enters the closed surface, -1 at the first voxel after it
// leaves; zero before the launch. vertices in voxels, triangles anticlockwise seen from outside.
KERNEL(bet_cross,
       (const float* RESTRICT vertices, const int* RESTRICT triangles, int* RESTRICT crossings, Index nv,
        Index nt, Index nx, Index ny, Index nz),
       (vertices, triangles, crossings, nv, nt, nx, ny, nz)) {
  FOR_VOXELS(t, nt) {
    int a = triangles[3 * t], b = triangles[3 * t + 1], c = triangles[3 * t + 2];
    Corner last = corner_of(vertices, c);
    double area = side(vertices, a, b, last.y, last.z);
    int turned = area < 0.0f, second = turned ? c : b, third = turned ? b : c, step = turned ? 1 : -1;
    Corner p = corner_of(vertices, a), q = corner_of(vertices, second), r = corner_of(vertices, third);
    Index y1 = area != 0.0f && area - area == 0.0f ? last_voxel(most(p.y, q.y, r.y), ny) : -1;
    for (Index y = first_voxel(least(p.y, q.y, r.y), ny); y <= y1; ++y)
      for (Index z = first_voxel(least(p.z, q.z, r.z), nz); z <= last_voxel(most(p.z, q.z, r.z), nz); ++z) {
        double pq = side(vertices, a, second, (double)y, (double)z);
        double qr = side(vertices, second, third, (double)y, (double)z);
        double rp = side(vertices, third, a, (double)y, (double)z);
        if (!(on_left(pq, a, second) && on_left(qr, second, third) && on_left(rp, third, a))) continue;
        Index x = first_voxel((qr * p.x + rp * q.x + pq * r.x) / (pq + qr + rp), nx);
        if (x < nx) atomic_add(crossings + (x * ny + y) * nz + z, step);
      }
  }
}

// mask = 1 where the line along x has entered the surface more often than it has left it.
KERNEL(bet_inside, (const int* RESTRICT crossings, u8* RESTRICT mask, Index nx, Index ny, Index nz),
       (crossings, mask, nx, ny, nz)) {
  TILE_SHARED(int, winding, PARTS);
  FOR_TILES(tile, (ny * nz + PARTS - 1) / PARTS) {
    Index first = tile * PARTS;
    int width = (int)(ny * nz - first < PARTS ? ny * nz - first : PARTS);
    TILE_FOR(k, width) { winding[k] = 0; }
    for (Index x = 0; x < nx; ++x) {
      const int* from = crossings + x * ny * nz + first;
      u8* to = mask + x * ny * nz + first;
      TILE_FOR(k, width) {
        winding[k] += from[k];
        to[k] = winding[k] > 0;
      }
    }
  }
}
