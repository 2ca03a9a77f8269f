// Connected components of a mask (face neighbours) by union-find on runs of voxels along z.
//
// A row is cut into chunks of LINE voxels; a run is a maximal sequence of mask voxels within a chunk, represented by
// its first voxel. back[i] is the distance of voxel i from the first voxel of its run, 0 outside the mask.
// parent[first] is a voxel of the same component with a smaller index, or first itself; the smallest index of a
// component is its root. Tiles join runs in any order: the trees depend on it, the roots do not.
#include "tile.h"

#define LINE 256

// Root of voxel i's component; on the way, every other voxel is attached to its grandparent (path halving).
FN int root_of(int* parent, int i) {
  int up = atomic_load(parent + i);
  while (up != i) {
    int above = atomic_load(parent + up);
    if (above != up) atomic_store(parent + i, above);
    i = up;
    up = above;
  }
  return i;
}

// Joins the components of a and b. A root is replaced only while it is a root; concurrent changes are followed.
FN void unite(int* parent, int a, int b) {
  a = root_of(parent, a);
  b = root_of(parent, b);
  while (a != b) {
    int low = a < b ? a : b, high = a < b ? b : a;
    int seen = atomic_swap(parent + high, high, low);
    if (seen == high) return;
    a = root_of(parent, seen);
    b = root_of(parent, low);
  }
}

// Finds the runs: the length of the run that ends at each voxel, for maximum lengths 1, 2, 4, .. LINE.
KERNEL(components_runs,
       (const u8* RESTRICT mask, u8* RESTRICT back, int* RESTRICT parent, Index nx, Index ny, Index nz),
       (mask, back, parent, nx, ny, nz)) {
  TILE_SHARED(short, length, 4 * LINE);
  FOR_TILES(row, nx * ny) {
    TILE_FOR(k, LINE) { length[k] = length[2 * LINE + k] = 0; }
    for (Index start = 0; start < nz; start += LINE) {
      int width = nz - start < LINE ? (int)(nz - start) : LINE;
      Index first = row * nz + start;
      short *from = length + LINE, *to = length + 3 * LINE;
      TILE_FOR(k, width) { from[k] = mask[first + k] != 0 ? 1 : 0; }
      TILE_SYNC();
      for (int reach = 1; reach < width; reach *= 2) {
        TILE_FOR(k, width) {
          short here = from[k], before = from[k - reach];
          to[k] = (short)(here + (here == reach ? before : 0));
        }
        TILE_SYNC();
        short* swap = from;
        from = to;
        to = swap;
      }
      TILE_FOR(k, width) {
        back[first + k] = (u8)(from[k] > 0 ? from[k] - 1 : 0);
        parent[first + k] = (int)first + k;
      }
    }
  }
}

// Joins runs that touch across a face, once per contiguous contact.
KERNEL(components_join, (const u8* mask, const u8* back, int* parent, Index nx, Index ny, Index nz),
       (mask, back, parent, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
    Index dy = row % ny > 0 ? nz : 0, dx = row >= ny ? ny * nz : 0;
    ROW_FOR(k, (int)nz) {
      Index i = row * nz + k;
      if (mask[i] != 0) {
        int run = (int)i - back[i];
        int starts = back[i] == 0;
        if (starts && k > 0 && mask[i - 1] != 0) unite(parent, run, (int)i - 1 - back[i - 1]);
        Index y = i - dy, x = i - dx;
        if (dy > 0 && mask[y] != 0 && (starts || back[y] == 0)) unite(parent, run, (int)y - back[y]);
        if (dx > 0 && mask[x] != 0 && (starts || back[x] == 0)) unite(parent, run, (int)x - back[x]);
      }
    }
  }
}

// Size [voxels] of every component, at its root; afterwards the parent of each run's first voxel is its root.
KERNEL(components_sizes, (const u8* mask, const u8* back, int* parent, int* size, Index nx, Index ny, Index nz),
       (mask, back, parent, size, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
    ROW_FOR(k, (int)nz) {
      Index i = row * nz + k;
      if (mask[i] != 0 && (k + 1 == nz || back[i + 1] == 0)) {
        int first = (int)i - back[i], root = root_of(parent, first);
        atomic_store(parent + first, root);
        atomic_add(size + root, back[i] + 1);
      }
    }
  }
}

// chosen = 1 at the root of every component that reaches the image border; parents as left by components_sizes.
KERNEL(components_border,
       (const u8* mask, const u8* back, int* parent, u8* chosen, Index nx, Index ny, Index nz),
       (mask, back, parent, chosen, nx, ny, nz)) {
  FOR_ROWS(row, nx * ny) {
    Index ix = row / ny, iy = row % ny;
    bool edge = ix == 0 || iy == 0 || ix == nx - 1 || iy == ny - 1;
    ROW_FOR(k, (int)nz) {
      Index i = row * nz + k;
      if (mask[i] != 0 && (k + 1 == nz || back[i + 1] == 0)) {
        int first = (int)i - back[i], root = root_of(parent, first);
        atomic_store(parent + first, root);
        if (edge || k + 1 == nz || k == back[i]) atomic_store(chosen + root, (u8)1);
      }
    }
  }
}

// kept = 1 in voxels whose component is chosen at its root; parents as left by components_sizes.
KERNEL(components_pick,
       (const u8* RESTRICT mask, const u8* RESTRICT back, const int* RESTRICT parent, const u8* RESTRICT chosen,
        u8* RESTRICT kept, Index n),
       (mask, back, parent, chosen, kept, n)) {
  FOR_VOXELS(i, n) { kept[i] = mask[i] != 0 && chosen[parent[i - back[i]]] != 0 ? 1 : 0; }
}
