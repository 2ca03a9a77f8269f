// Multigrid for the Laplacian on a mask: A v = sum over axes of (2 v - v_before - v_after) / h^2 at voxels inside
// (inside == 1), v = 0 elsewhere. Voxels at the ends of the grid count as outside regardless of `inside`, so every
// voxel inside has all its neighbours. Jacobi sweeps: the order of voxels does not matter.
//
// Coarse voxel c lies at fine voxel 2 c along an axis of factor 2, and at c along an axis of factor 1.
#include "tile.h"

FN int least(int i, int j) { return i < j ? i : j; }

// out = keep v + omega (add b - A v) inside, 0 elsewhere. ax = 1 / hx^2 and so on.
KERNEL(mg_combine,
       (const float* RESTRICT v, const float* RESTRICT b, const u8* RESTRICT inside, float* RESTRICT out,
        float keep, float add, float omega, float ax, float ay, float az, Index nx, Index ny, Index nz),
       (v, b, inside, out, keep, add, omega, ax, ay, az, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
    Index ix = row / ny, iy = row % ny, dx = ny * nz;
    bool edge = ix == 0 || iy == 0 || ix == nx - 1 || iy == ny - 1 || nz < 3;
    const float* c = v + row * nz;
    const float* rhs = b + row * nz;
    const u8* in = inside + row * nz;
    float* o = out + row * nz;
    float diagonal = 2.0f * (ax + ay + az);
    int inner = edge ? 0 : (int)nz - 2;
    ROW_FOR(j, inner) {
      int k = j + 1;
      float around = ax * (c[k - dx] + c[k + dx]) + ay * (c[k - nz] + c[k + nz]) + az * (c[k - 1] + c[k + 1]);
      float value = keep * c[k] + omega * (add * rhs[k] - diagonal * c[k] + around);
      o[k] = in[k] != 0 ? value : 0.0f;
    }
    int border = edge ? (int)nz : 2;
    ROW_FOR(j, border) {
      int k = edge || j == 0 ? j : (int)nz - 1;
      o[k] = 0.0f;
    }
  }
}

// out = centre v + weighted sum of the neighbours, inside; 0 elsewhere: fx weights the two neighbours along x, exy
// the four diagonal ones in planes of x and y, and so on.
KERNEL(mg_compact,
       (const float* RESTRICT v, const u8* RESTRICT inside, float* RESTRICT out, float centre, float fx,
        float fy, float fz, float exy, float exz, float eyz, Index nx, Index ny, Index nz),
       (v, inside, out, centre, fx, fy, fz, exy, exz, eyz, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
    Index ix = row / ny, iy = row % ny, dx = ny * nz, dy = nz;
    bool edge = ix == 0 || iy == 0 || ix == nx - 1 || iy == ny - 1 || nz < 3;
    const float* c = v + row * nz;
    const u8* in = inside + row * nz;
    float* o = out + row * nz;
    int inner = edge ? 0 : (int)nz - 2;
    ROW_FOR(j, inner) {
      int k = j + 1;
      float xs = c[k - dx] + c[k + dx], ys = c[k - dy] + c[k + dy], zs = c[k - 1] + c[k + 1];
      float xy = c[k - dx - dy] + c[k - dx + dy] + c[k + dx - dy] + c[k + dx + dy];
      float xz = c[k - dx - 1] + c[k - dx + 1] + c[k + dx - 1] + c[k + dx + 1];
      float yz = c[k - dy - 1] + c[k - dy + 1] + c[k + dy - 1] + c[k + dy + 1];
      float value = centre * c[k] + fx * xs + fy * ys + fz * zs + exy * xy + exz * xz + eyz * yz;
      o[k] = in[k] != 0 ? value : 0.0f;
    }
    int border = edge ? (int)nz : 2;
    ROW_FOR(j, border) {
      int k = edge || j == 0 ? j : (int)nz - 1;
      o[k] = 0.0f;
    }
  }
}

// coarse = weighted sum of `fine` around each coarse voxel inside (linear weights); 0 elsewhere.
KERNEL(mg_restrict,
       (const float* RESTRICT fine, const u8* RESTRICT inside, float* RESTRICT coarse, int fx, int fy, int fz,
        Index nx, Index ny, Index nz, Index cx, Index cy, Index cz),
       (fine, inside, coarse, fx, fy, fz, nx, ny, nz, cx, cy, cz)) {
  float scale = (fx == 2 ? 0.5f : 1.0f) * (fy == 2 ? 0.5f : 1.0f) * (fz == 2 ? 0.5f : 1.0f);
  FOR_ROWS(row, cx * cy) {
    int x = (int)(row / cy) * fx, y = (int)(row % cy) * fy;
    int x_end = least(x + fx, (int)nx), y_end = least(y + fy, (int)ny);
    ROW_FOR(k, (int)cz) {
      float sum = 0.0f;
      int z = k * fz, z_end = inside[row * cz + k] != 0 ? least(z + fz, (int)nz) : 0;
      for (int i = x + 1 > fx ? x + 1 - fx : 0; i < x_end; ++i)
        for (int j = y + 1 > fy ? y + 1 - fy : 0; j < y_end; ++j) {
          const float* f = fine + ((Index)i * ny + j) * nz;
          float weight = (i == x ? 1.0f : 0.5f) * (j == y ? 1.0f : 0.5f);
          for (int l = z + 1 > fz ? z + 1 - fz : 0; l < z_end; ++l)
            sum += weight * (l == z ? 1.0f : 0.5f) * f[l];
        }
      coarse[row * cz + k] = scale * sum;
    }
  }
}

// fine += linearly interpolated coarse, inside.
KERNEL(mg_prolong,
       (float* RESTRICT fine, const u8* RESTRICT inside, const float* RESTRICT coarse, int fx, int fy, int fz,
        Index nx, Index ny, Index nz, Index cx, Index cy, Index cz),
       (fine, inside, coarse, fx, fy, fz, nx, ny, nz, cx, cy, cz)) {
  FOR_ROWS(row, nx * ny) {
    int x = (int)(row / ny), y = (int)(row % ny), last = (int)cz - 1;
    Index x0 = least(x >> (fx - 1), (int)cx - 1), x1 = least((x + fx - 1) >> (fx - 1), (int)cx - 1);
    Index y0 = least(y >> (fy - 1), (int)cy - 1), y1 = least((y + fy - 1) >> (fy - 1), (int)cy - 1);
    const float* a = coarse + (x0 * cy + y0) * cz;
    const float* b = coarse + (x0 * cy + y1) * cz;
    const float* c = coarse + (x1 * cy + y0) * cz;
    const float* d = coarse + (x1 * cy + y1) * cz;
    ROW_FOR(k, (int)nz) {
      int before = least(k >> (fz - 1), last), after = least((k + fz - 1) >> (fz - 1), last);
      float sum = a[before] + a[after] + b[before] + b[after] + c[before] + c[after] + d[before] + d[after];
      fine[row * nz + k] += inside[row * nz + k] != 0 ? 0.125f * sum : 0.0f;
    }
  }
}
