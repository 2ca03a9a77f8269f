// Kernels with one mistake each, for the emulator to find. n is 300: longer than a block, shorter than two.
#include "tile.h"

KERNEL(missing_barrier, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  TILE_SHARED(float, row, 512);
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { row[i] = x[t * n + i]; }
    TILE_FOR(i, (int)n) { y[t * n + i] = row[n - 1 - i]; }
    TILE_SYNC();
  }
}

// Only a block's second tile overwrites what the first is still reading.
KERNEL(missing_last_barrier, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  TILE_SHARED(float, row, 512);
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { row[i] = x[t * n + i]; }
    TILE_SYNC();
    TILE_FOR(i, (int)n) { y[t * n + i] = row[n - 1 - i]; }
  }
}

KERNEL(race_of_threads, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) {
      y[t * n + i] = x[t * n + i];
      y[t * n + (i + 1) % n] = x[t * n + i];
    }
  }
}

// Every tile reads what the tile before it writes.
KERNEL(race_of_blocks, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { y[t * n + i] = x[t * n + i]; }
    TILE_SYNC();
    TILE_FOR(i, (int)n) { y[t * n + i] += t > 0 ? y[(t - 1) * n + i] : 0.0f; }
  }
}

// The same number from all threads: code outside the cooperative loops writes.
KERNEL(write_by_all, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n - 1) { y[t * n + i] = x[t * n + i]; }
    y[t * n + n - 1] = x[t * n];
  }
}

KERNEL(read_past_the_end, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { y[t * n + i] = x[t * n + i + 1]; }
  }
}

KERNEL(write_past_the_end, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n + 1) { y[t * n + i] = x[t * n + i % n]; }
    TILE_SYNC();
  }
}

KERNEL(read_far_away, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { y[t * n + i] = x[t * n + i + ((Index)1 << 40)]; }
  }
}

KERNEL(past_the_scratch, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  TILE_SHARED(float, first, 300);
  TILE_SHARED(float, second, 300);
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n + 1) { first[i] = second[i] = x[t * n + i % n]; }
    TILE_SYNC();
    TILE_FOR(i, (int)n) { y[t * n + i] = first[n - 1 - i] + second[i]; }
    TILE_SYNC();
  }
}

KERNEL(unwritten_scratch, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  TILE_SHARED(float, row, 512);
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { row[i] = x[t * n + i]; }
    TILE_SYNC();
    TILE_FOR(i, (int)n) { y[t * n + i] = row[i + 1]; }
    TILE_SYNC();
  }
}

KERNEL(unwritten_private, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  PRIVATE(float, sums, 4);
  FOR_TILES(t, rows * n / TILE_LANES) {
    FOR_LANES(l) {
      for (int k = 0; k < (int)n % 4 + 3; ++k) AT(sums, k, l) = x[t * TILE_LANES + l];
      y[t * TILE_LANES + l] = AT(sums, 3, l);
    }
  }
}

KERNEL(unwritten_output, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { y[t * n + i] += x[t * n + i]; }
  }
}

KERNEL(incomplete_output, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n - 1) { y[t * n + i] = x[t * n + i]; }
  }
}

KERNEL(written_input, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { y[t * n + i] = const_cast<float*>(x)[t * n + i]++; }
  }
}

KERNEL(divergent_barrier, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, 256) {
      if (i % 2) {
        TILE_SYNC();
      } else {
        TILE_SYNC();
      }
    }
    TILE_FOR(i, (int)n) { y[t * n + i] = x[t * n + i]; }
  }
}

KERNEL(barrier_for_some, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) {
      y[t * n + i] = x[t * n + i];
      if (i > 256) TILE_SYNC();
    }
  }
}

// The last array of the source: it is followed by memory that is not scratch.
KERNEL(past_the_last_scratch, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  TILE_SHARED(float, row, 300);
  FOR_TILES(t, rows) {
    TILE_FOR(i, (int)n) { row[i] = x[t * n + i]; }
    TILE_SYNC();
    TILE_FOR(i, (int)n) { y[t * n + i] = row[n - i]; }
    TILE_SYNC();
  }
}

// The odd lanes read what the even ones do not offer.
KERNEL(exchange_by_some, (const float* x, float* y, Index rows, Index n), (x, y, rows, n)) {
  JOINED(float, own, 1);
  FOR_TILES(t, rows) {
    FOR_LANES(l) {
      OF(own, 0, l) = x[t * n + l];
      y[t * n + l] = l % 2 ? BESIDE(own, 0, l, 1) : OF(own, 0, l);
    }
  }
}
