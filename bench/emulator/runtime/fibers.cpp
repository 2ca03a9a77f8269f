// Runs a launch: blocks one after the other, each with 256 fibers that meet at barriers.
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "context.h"
#include "emulator.h"

struct EmulatedDim {
  unsigned x, y, z;
};
EmulatedDim threadIdx, blockIdx, gridDim;

namespace emulator {

int thread = -1;
unsigned block, interval;

namespace {

constexpr size_t STACK = 256 << 10;
struct Place {
  const char* file;
  int line;
};
enum State { RUNNING, AT_BARRIER, EXCHANGING, ENDED };
struct Fiber {
  Context context;
  State state;
  Place at;  // the barrier it waits at
  unsigned exchanges;
  float given[2];  // values given to the warp in the last two exchanges
};
Fiber fibers[MOST_THREADS];
int threads;  // of the running block
Context scheduler;
char* stacks;
void (*body)(const void*);
const void* closure;
size_t closure_size;
bool stopped;
Place last_reached;
int skipped_line;
std::string skipped_file;
bool flush_subnormals;
std::set<std::pair<std::string, int>> visited;
uint64_t random_state;

std::string name_of(const char* file) {
  const char* slash = strrchr(file, '/');
  return slash ? slash + 1 : file;
}

std::string text_of(Place place) { return name_of(place.file) + ":" + std::to_string(place.line); }

void to_scheduler() { switch_to(fibers[thread].context, scheduler); }

void enter() {
  body(closure);
  fibers[thread].state = ENDED;
  to_scheduler();
  abort();
}

unsigned below(unsigned n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned)(random_state % n);
}

enum Order { ASCENDING, DESCENDING, SHUFFLED };

std::vector<int> sequence_of(int n, int order) {
  std::vector<int> sequence(n);
  for (int i = 0; i < n; ++i) sequence[i] = order == DESCENDING ? n - 1 - i : i;
  for (int i = n - 1; order == SHUFFLED && i > 0; --i) std::swap(sequence[i], sequence[below(i + 1)]);
  return sequence;
}

// The processor's control word with or without flushing of subnormals, which GPUs do with -ftz=true.
struct Rounding {
#if defined(__x86_64__)
  unsigned saved = __builtin_ia32_stmxcsr();
  explicit Rounding(bool flush) { __builtin_ia32_ldmxcsr(flush ? saved | 0x8040 : saved); }
  ~Rounding() { __builtin_ia32_ldmxcsr(saved); }
#elif defined(__aarch64__)
  uint64_t saved;
  explicit Rounding(bool flush) {
    asm volatile("mrs %0, fpcr" : "=r"(saved));
    asm volatile("msr fpcr, %0" : : "r"(flush ? saved | (1u << 24) : saved));
  }
  ~Rounding() { asm volatile("msr fpcr, %0" : : "r"(saved)); }
#else
  explicit Rounding(bool) {}
#endif
};

// Runs every thread to its next exchange, barrier or end; returns how many take part in an exchange.
int run_pass(const std::vector<int>& sequence) {
  int exchanging = 0, members[MOST_THREADS / WARP] = {};
  for (int i : sequence) {
    Fiber& fiber = fibers[i];
    if (fiber.state == ENDED || fiber.state == AT_BARRIER) continue;
    thread = i;
    threadIdx = {(unsigned)i % 32, (unsigned)i / 32, 0};
    fiber.state = RUNNING;
    begin_thread();
    switch_to(scheduler, fiber.context);
    if (stopped) return 0;
    if (fiber.state == EXCHANGING) ++exchanging, ++members[i / WARP];
  }
  for (int count : members)
    if (count % WARP) report("some threads of a warp do not take part in an exchange");
  return exchanging;
}

// Runs every thread to its next barrier or its end; returns how many continue.
int run_interval(int order) {
  std::vector<int> sequence = sequence_of(threads, order);
  for (Fiber& fiber : fibers)
    if (fiber.state == AT_BARRIER) fiber.state = RUNNING;
  int before = 0, waiting = 0;
  for (const Fiber& fiber : fibers) before += fiber.state != ENDED;
  while (run_pass(sequence)) {}
  if (stopped) return 0;
  Place first = {nullptr, 0};
  for (const Fiber& fiber : fibers) {
    if (fiber.state == ENDED) continue;
    if (waiting++ == 0) first = fiber.at;
    if (fiber.at.line != first.line || strcmp(fiber.at.file, first.file) != 0)
      report("threads of a block wait at different barriers, " + text_of(first) + " and " + text_of(fiber.at));
  }
  if (waiting && waiting < before) report("threads end while others wait at the barrier " + text_of(first));
  return waiting;
}

void run_block(int order) {
  begin_block();
  for (Fiber& fiber : fibers) fiber.state = ENDED;  // fibers beyond a small block
  for (int i = 0; i < threads; ++i) {
    prepare(fibers[i].context, stacks + i * STACK, STACK, enter);
    fibers[i].state = RUNNING;
    fibers[i].exchanges = 0;
  }
  interval = 0;
  for (int waiting = threads; waiting; ++interval) {
    waiting = run_interval(order);
    end_interval();
  }
  thread = -1;
}

}  // namespace

void stop() {
  stopped = true;
  to_scheduler();
  abort();
}

bool on_own_stack(uintptr_t address) { return address - (uintptr_t)(stacks + (size_t)thread * STACK) < STACK; }

bool in_closure(uintptr_t address) { return address - (uintptr_t)closure < closure_size; }

}  // namespace emulator

using namespace emulator;

extern "C" {

void emulated_barrier(const char* file, int line) {
  if (line != last_reached.line || file != last_reached.file) {
    last_reached = {file, line};
    visited.insert({name_of(file), line});
  }
  if (line == skipped_line && name_of(file) == skipped_file) return;
  fibers[thread].at = {file, line};
  fibers[thread].state = AT_BARRIER;
  to_scheduler();
}

// The value that lane `from` of the warp provides. The threads of the warp meet, but other warps do not wait.
float emulated_exchange(float value, unsigned from) {
  Fiber& fiber = fibers[thread];
  unsigned slot = fiber.exchanges++ % 2;
  fiber.given[slot] = value;
  fiber.state = EXCHANGING;
  to_scheduler();
  return fibers[thread / WARP * WARP + (int)(from % WARP)].given[slot];
}

// order: 0 ascending threads and blocks, 1 descending, 2 shuffled, threads reshuffled in every interval.
void emulator_run(long grid, int block_threads, int order, void (*function)(const void*), const void* data,
                  size_t size) {
  if (!stacks) stacks = static_cast<char*>(aligned_alloc(4096, MOST_THREADS * STACK));
  body = function, closure = data, closure_size = size, threads = block_threads;
  gridDim = {(unsigned)grid, 1, 1};
  stopped = false;
  random_state = 88172645463325252ull;
  begin_launch();
  Rounding rounding(flush_subnormals);
  for (int b : sequence_of((int)grid, order)) {
    block = (unsigned)b;
    blockIdx = {block, 0, 0};
    run_block(order);
    if (stopped) break;
  }
  thread = -1;
  if (!stopped) end_launch();
}

// Sets the barrier that threads pass without waiting; line 0: none.
__attribute__((visibility("default"))) void emulator_skip(const char* file, int line) {
  skipped_file = file;
  skipped_line = line;
}

__attribute__((visibility("default"))) void emulator_flush_subnormals(int on) { flush_subnormals = on != 0; }

// Barriers reached since the last call, one "file:line" per line.
__attribute__((visibility("default"))) const char* emulator_barriers() {
  static std::string text;
  text.clear();
  for (const auto& place : visited) text += place.first + ":" + std::to_string(place.second) + "\n";
  visited.clear();
  last_reached = {nullptr, 0};
  return text.c_str();
}

}  // extern "C"
