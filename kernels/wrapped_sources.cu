// Laplacian of a field, directly from the wrapped phase of any number of echoes.
#include "vmath.h"

// Step of the field between two voxels: slope over time of the echoes' wrapped steps, each unwrapped by the
// prediction from the preceding echoes. Weights are the inverse variances m^2 r^2 / (m^2 + r^2).
FN float step_weight(float m, float r) {
  float a = m * m, b = r * r;
  return a * b / fmax2(a + b, 1e-30f);
}

FN float unwrapped_step(float step, float predicted) {
  float d = wrap(step);
  return d + 6.283185307f * fround((predicted - d) * 0.159154943f);
}

// sources = sum over the 18 neighbours across faces and edges of weight times the field's step to them where inside
// == 1, else 0; voxels at the ends of the grid count as outside. fx weights the two neighbours along x, exy the four
// in planes of x and y, and so on. times [rad per unit of the field]; scale times the magnitude is of the order of 1.
KERNEL(wrapped_sources,
       (const float* RESTRICT phase, const float* RESTRICT magnitude, const u8* RESTRICT inside,
        const float* RESTRICT times, float* RESTRICT sources, float scale, float fx, float fy, float fz,
        float exy, float exz, float eyz, Index echo, Index nx, Index ny, Index nz),
       (phase, magnitude, inside, times, sources, scale, fx, fy, fz, exy, exz, eyz, echo, nx, ny, nz)) {
  PRIVATE(float, s, 3);
  Index chunks = (nz + TILE_LANES - 1) / TILE_LANES;
  FOR_TILES(t, nx * ny * chunks) {
    Index row = t / chunks, start = t % chunks * TILE_LANES, ix = row / ny, iy = row % ny;
    int count = (int)(nz - start < TILE_LANES ? nz - start : TILE_LANES);
    bool edge = ix == 0 || iy == 0 || ix == nx - 1 || iy == ny - 1;
    Index first = row * nz + start;
    FOR_LANES(l) AT(s, 2, l) = 0.0f;
    for (int j = 0; j < (edge ? 0 : 27); ++j) {
      int dx = j / 9 - 1, dy = j / 3 % 3 - 1, dz = j % 3 - 1, axes = dx * dx + dy * dy + dz * dz;
      if (axes == 0 || axes == 3) continue;
      float face = dx != 0 ? fx : (dy != 0 ? fy : fz), diagonal = dz == 0 ? exy : (dy == 0 ? exz : eyz);
      float weight = axes == 1 ? face : diagonal;
      Index offset = (dx * ny + dy) * nz + dz;
      FOR_LANES(l) {
        AT(s, 0, l) = 0.0f;
        AT(s, 1, l) = 0.0f;
      }
      for (Index e = 0; e < echo; ++e) {
        const float* p = phase + e * nx * ny * nz + first;
        const float* m = magnitude + e * nx * ny * nz + first;
        float time = times[e];
        TILE_FOR(l, count) {
          float slope = AT(s, 1, l), change = unwrapped_step(p[l + offset] - p[l], time * slope);
          float w = time * step_weight(scale * m[l], scale * m[l + offset]);
          float information = AT(s, 0, l) + w * time;
          AT(s, 0, l) = information;
          AT(s, 1, l) = slope + w * (change - time * slope) / fmax2(information, 1e-30f);
        }
      }
      TILE_FOR(l, count) { AT(s, 2, l) += weight * AT(s, 1, l); }
    }
    const u8* in = inside + first;
    float* out = sources + first;
    TILE_FOR(l, count) {
      Index k = start + l;
      bool valid = in[l] != 0 && !edge && k > 0 && k < nz - 1;
      out[l] = valid ? AT(s, 2, l) : 0.0f;
    }
  }
}
