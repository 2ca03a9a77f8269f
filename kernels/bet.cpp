// A closed surface of triangles that grows onto the brain, as in BET (10.1002/hbm.10062), and the voxels
// inside it. Serial, on the host: every step of the surface needs the one before.
//
// Positions are in mm, voxel (i, j, k) lies at (i hx, j hy, k hz); the image counts as 0 outside.
#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

namespace {

typedef long long Index;
typedef unsigned char u8;

enum Status { kDone = 0, kOutOfMemory = 1 };

struct Vector {
  double x, y, z;
};

Vector operator+(Vector a, Vector b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
Vector operator-(Vector a, Vector b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
Vector operator*(double s, Vector a) { return {s * a.x, s * a.y, s * a.z}; }
double dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
double length(Vector a) { return std::sqrt(dot(a, a)); }
Vector cross(Vector a, Vector b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

struct Image {
  const float* values;
  Index nx, ny, nz;
  double px, py, pz;  // voxels per mm

  double at(Vector p) const {
    double x = p.x * px, y = p.y * py, z = p.z * pz;
    if (!(x > -0.5 && y > -0.5 && z > -0.5 && x < nx - 0.5 && y < ny - 0.5 && z < nz - 0.5)) return 0.0;
    return values[((Index)(x + 0.5) * ny + (Index)(y + 0.5)) * nz + (Index)(z + 0.5)];
  }
};

const int kRing = 6;

struct Surface {
  std::vector<Vector> vertices;
  const int* ring;

  Surface(const double* points, const int* neighbours, Index n) : vertices(n), ring(neighbours) {
    for (Index v = 0; v < n; ++v) vertices[v] = {points[3 * v], points[3 * v + 1], points[3 * v + 2]};
  }
  int valence(Index v) const { return ring[kRing * v + kRing - 1] < 0 ? kRing - 1 : kRing; }
  Vector neighbour(Index v, int i) const { return vertices[ring[kRing * v + i]]; }

  // Unit normal: the mean over the triangles around, by area.
  Vector normal(Index v) const {
    int count = valence(v);
    Vector sum = {0, 0, 0};
    for (int i = 0; i < count; ++i)
      sum = sum + cross(neighbour(v, i) - vertices[v], neighbour(v, (i + 1) % count) - vertices[v]);
    double size = length(sum);
    return size > 0 ? (1 / size) * sum : sum;
  }
};

// What the steps depend on. levels: low, threshold, middle intensity of the brain.
struct Rules {
  const double* levels;
  const double* fraction;  // of each vertex: intensity of the edge between low and the local maximum
  double short_reach, long_reach, smallest_radius, largest_radius;

  // Step along the normal in units of 0.05 edge lengths: positive inside the brain.
  double pull(const Image& image, Vector p, Vector inwards, double spacing, double edge_fraction) const {
    double low = levels[0], threshold = levels[1], middle = levels[2];
    double lowest = middle, highest = threshold;
    for (double d = 0; d <= long_reach; d += spacing) {
      double value = image.at(p + d * inwards);
      lowest = std::min(lowest, value);
      if (d <= short_reach) highest = std::max(highest, value);
    }
    lowest = std::max(low, lowest);
    highest = std::min(middle, highest);
    double edge = (highest - low) * edge_fraction + low;
    return highest > low ? 2 * (lowest - edge) / (highest - low) : 0;
  }

  // How much of the bend is taken out: nearly none for radii above the largest, all below the smallest.
  double stiffness(double bend, double edge_length) const {
    double curvature = 2 * bend / (edge_length * edge_length);
    double centre = (1 / smallest_radius + 1 / largest_radius) / 2;
    double slope = 6 / (1 / smallest_radius - 1 / largest_radius);
    return (1 + std::tanh(slope * (curvature - centre))) / 2;
  }
};

double mean_edge(const Surface& s) {
  double sum = 0;
  Index count = 0;
  for (Index v = 0; v < (Index)s.vertices.size(); ++v)
    for (int i = 0; i < s.valence(v); ++i, ++count) sum += length(s.neighbour(v, i) - s.vertices[v]);
  return sum / count;
}

// One step of all vertices.
void advance(Surface& s, std::vector<Vector>& next, const Image& image, const Rules& rules, double spacing) {
  double edge_length = mean_edge(s);
  Index count = (Index)s.vertices.size();
  for (Index v = 0; v < count; ++v) {
    Vector p = s.vertices[v], normal = s.normal(v), middle = {0, 0, 0};
    int valence = s.valence(v);
    for (int i = 0; i < valence; ++i) middle = middle + s.neighbour(v, i);
    Vector offset = (1.0 / valence) * middle - p;
    double bend = dot(offset, normal);
    Vector tangential = offset - bend * normal;
    double along = rules.stiffness(std::fabs(bend), edge_length) * bend +
                   0.05 * edge_length * rules.pull(image, p, -1.0 * normal, spacing, rules.fraction[v]);
    next[v] = p + 0.5 * tangential + along * normal;
  }
  s.vertices.swap(next);
}

// Twice the area of (a, b, p), the same number but for its sign whichever way the edge is given.
double side(const double* vertices, int a, int b, double x, double y) {
  double sign = 1;
  if (a > b) std::swap(a, b), sign = -1;
  const double *p = vertices + 3 * a, *q = vertices + 3 * b;
  return sign * ((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]));
}

// A point on an edge belongs to the triangle that runs along it from the lower to the higher vertex.
bool on_left(double area, int a, int b) { return a < b ? area >= 0 : area > 0; }

const double kFar = 1e9;

Index first_voxel(double x) { return (Index)std::min(std::max(std::ceil(x), 0.0), kFar); }
Index last_voxel(double x, Index n) { return (Index)std::min(std::max(std::floor(x), -1.0), (double)(n - 1)); }

struct Counts {
  std::vector<short> enter;  // [x, y, z]: how often a line along z enters less how often it leaves before z
  Index nx, ny, nz;
};

void cross_columns(const double* vertices, const int* t, Counts& counts) {
  int a = t[0], b = t[1], c = t[2];
  double area = side(vertices, a, b, vertices[3 * c], vertices[3 * c + 1]);
  if (area == 0) return;
  short step = area > 0 ? -1 : 1;  // seen from above anticlockwise: the line leaves
  if (area < 0) std::swap(b, c);
  const double *p = vertices + 3 * a, *q = vertices + 3 * b, *r = vertices + 3 * c;
  if (!std::isfinite(area)) return;
  Index x0 = first_voxel(std::min({p[0], q[0], r[0]})),
        x1 = last_voxel(std::max({p[0], q[0], r[0]}), counts.nx);
  Index y0 = first_voxel(std::min({p[1], q[1], r[1]})),
        y1 = last_voxel(std::max({p[1], q[1], r[1]}), counts.ny);
  for (Index x = x0; x <= x1; ++x)
    for (Index y = y0; y <= y1; ++y) {
      double ab = side(vertices, a, b, x, y), bc = side(vertices, b, c, x, y), ca = side(vertices, c, a, x, y);
      if (!(on_left(ab, a, b) && on_left(bc, b, c) && on_left(ca, c, a))) continue;
      double z = (bc * p[2] + ca * q[2] + ab * r[2]) / (ab + bc + ca);
      Index first = first_voxel(z);
      if (first < counts.nz) counts.enter[(x * counts.ny + y) * counts.nz + first] += step;
    }
}

template <class Work>
int guarded(Work work) {
  try {
    work();
  } catch (const std::bad_alloc&) { return kOutOfMemory; }
  return kDone;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// Moves the vertices [mm] by `iterations` steps. levels = low, threshold, middle; reach = short, long [mm];
// radii = smallest, largest [mm]; spacing [mm] of the points looked at along the normal.
EXPORT int bet_evolve(const float* image, const int* ring, const double* fraction, double* vertices,
                      const double* size, const double* levels, const double* reach, const double* radii,
                      double spacing, int iterations, Index nx, Index ny, Index nz, Index n) {
  return guarded([=] {
    Image picture{image, nx, ny, nz, 1 / size[0], 1 / size[1], 1 / size[2]};
    Rules rules{levels, fraction, reach[0], reach[1], radii[0], radii[1]};
    Surface surface(vertices, ring, n);
    std::vector<Vector> next(n);
    for (int i = 0; i < iterations; ++i) advance(surface, next, picture, rules, spacing);
    for (Index v = 0; v < n; ++v) {
      Vector p = surface.vertices[v];
      vertices[3 * v] = p.x, vertices[3 * v + 1] = p.y, vertices[3 * v + 2] = p.z;
    }
  });
}

// mask = 1 where the centre of the voxel lies inside the closed surface; vertices in voxels.
EXPORT int bet_fill(const double* vertices, const int* triangles, u8* mask, Index n, Index m, Index nx,
                    Index ny, Index nz) {
  (void)n;
  return guarded([=] {
    Counts counts{std::vector<short>(nx * ny * nz, 0), nx, ny, nz};
    for (Index t = 0; t < m; ++t) cross_columns(vertices, triangles + 3 * t, counts);
    for (Index column = 0; column < nx * ny; ++column) {
      int winding = 0;
      for (Index z = column * nz; z < (column + 1) * nz; ++z) {
        winding += counts.enter[z];
        mask[z] = winding > 0;
      }
    }
  });
}
