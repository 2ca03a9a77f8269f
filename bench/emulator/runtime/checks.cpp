// Implements the calls that -fsanitize=thread inserts before every memory access, to detect races between barriers,
// reads of unwritten memory, and accesses outside the buffers. ThreadSanitizer's runtime is not linked.
#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "emulator.h"
#include "guard.h"

extern char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));

namespace emulator {
namespace {

constexpr int NONE = -1, SEVERAL = -2;
constexpr int PAGE = 256;

// Last accesses to one element.
struct Cell {
  int write_block = NONE, write_thread = NONE, read_block = NONE, read_thread = NONE;
  unsigned write_interval = 0, read_interval = 0;
};

enum Role { IN, OUT, INOUT };

struct Buffer {
  std::string name;
  uintptr_t start, end;
  int unit;  // bytes per element: neighbours within a word are separate elements
  Role role;
  bool paired;  // complex numbers, both parts of which a GPU moves at once
  std::vector<Cell> cells;
};

std::vector<Buffer> buffers;
uintptr_t arena_start, arena_end;
std::vector<int> page_owner;  // buffer that begins or continues in each page of the arena

std::vector<Cell> shared_cells;
std::vector<bool> shared_guard;

std::vector<std::string> problems;
std::set<std::string> kinds;

uintptr_t shared_start() { return (uintptr_t)__start_emulated_shared; }
uintptr_t shared_end() { return (uintptr_t)__stop_emulated_shared; }

void find_guards() {
  constexpr size_t length = sizeof EMULATED_GUARD;
  size_t size = shared_end() - shared_start();
  shared_guard.assign(size, false);
  for (size_t at = 0; at + length <= size; ++at) {
    if (memcmp(__start_emulated_shared + at, EMULATED_GUARD, length) != 0) continue;
    uintptr_t end = shared_start() + at + length;
    size_t padding = -end % EMULATED_ALIGNMENT;
    for (size_t i = at; i < std::min(size, at + length + padding); ++i) shared_guard[i] = true;
  }
}

bool unordered(int other_block, int other_thread, unsigned other_interval) {
  if (other_block == NONE) return false;
  if (other_block != (int)block) return true;
  return other_thread != thread && other_interval == interval;
}

void note_write(Cell& cell, const std::string& where, uintptr_t pc) {
  if (unordered(cell.write_block, cell.write_thread, cell.write_interval))
    report("race: two threads write " + where, pc);
  if (unordered(cell.read_block, cell.read_thread, cell.read_interval))
    report("race: a thread writes what another has read of " + where, pc);
  cell.write_block = (int)block, cell.write_thread = thread, cell.write_interval = interval;
}

void note_read(Cell& cell, const std::string& where, uintptr_t pc) {
  if (unordered(cell.write_block, cell.write_thread, cell.write_interval))
    report("race: a thread reads what another has written of " + where, pc);
  if (cell.read_block == NONE || cell.read_block == (int)block) {
    bool shared = cell.read_block != NONE && cell.read_interval == interval && cell.read_thread != thread;
    cell.read_block = (int)block, cell.read_thread = shared ? SEVERAL : thread, cell.read_interval = interval;
  } else {
    cell.read_block = SEVERAL;
  }
}

void access_shared(uintptr_t address, int size, bool write, uintptr_t pc) {
  size_t first = address - shared_start();
  for (size_t i = first; i < first + size; ++i) {
    if (i >= shared_cells.size() || shared_guard[i]) return report("access outside the scratch", pc);
    Cell& cell = shared_cells[i];
    if (!write && cell.write_block == NONE) report("scratch is read before it is written", pc);
    if (write)
      note_write(cell, "the scratch", pc);
    else
      note_read(cell, "the scratch", pc);
  }
  if (tracing) trace(pc, address - shared_start(), size, write, NONE, false);
}

std::string nearest(uintptr_t address) {
  uintptr_t best = UINTPTR_MAX;
  std::string name = "none";
  for (const Buffer& b : buffers) {
    uintptr_t distance = address < b.start ? b.start - address : address - b.end;
    if (distance < best) best = distance, name = b.name;
  }
  return name;
}

void access_arena(uintptr_t address, int size, bool write, uintptr_t pc) {
  int owner = page_owner[(address - arena_start) / PAGE];
  if (owner < 0 || address + size > buffers[owner].end) {
    report(std::string(write ? "write" : "read") + " outside every array, the nearest is " + nearest(address),
           pc);
    return;
  }
  Buffer& buffer = buffers[owner];
  if (write && buffer.role == IN) report("write to the input " + buffer.name, pc);
  size_t last = (address + size - 1 - buffer.start) / buffer.unit;
  for (size_t i = (address - buffer.start) / buffer.unit; i <= last; ++i) {
    Cell& cell = buffer.cells[i];
    if (!write && buffer.role == OUT && cell.write_block == NONE)
      report("the output " + buffer.name + " is read before it is written", pc);
    if (write)
      note_write(cell, buffer.name, pc);
    else
      note_read(cell, buffer.name, pc);
  }
  if (tracing) trace(pc, address, size, write, owner, buffer.paired);
}

void access(void* pointer, int size, bool write, uintptr_t pc) {
  if (thread < 0) return;
  uintptr_t address = (uintptr_t)pointer;
  if (on_own_stack(address)) return;
  if (address - arena_start < arena_end - arena_start) return access_arena(address, size, write, pc);
  if (address - shared_start() < shared_end() - shared_start()) return access_shared(address, size, write, pc);
  if (!write && (address - (uintptr_t)__ehdr_start < (uintptr_t)(_end - __ehdr_start) || in_closure(address)))
    return;  // constants, threadIdx, the kernel's arguments
  report(std::string(write ? "write" : "read") + " far from every array", pc);
  stop();
}

void* copy(void* to, const void* from, size_t n, uintptr_t pc) {
  access(const_cast<void*>(from), (int)n, false, pc);
  access(to, (int)n, true, pc);
  return memmove(to, from, n);
}

}  // namespace

void report(const std::string& what, uintptr_t pc) {
  std::string line = std::to_string(pc ? pc - 1 - (uintptr_t)__ehdr_start : 0) + "\t" + what;
  if (problems.size() < 50 && kinds.insert(line).second) problems.push_back(line);
}

void begin_launch() {
  if (shared_guard.empty()) find_guards();
  for (Buffer& b : buffers) b.cells.assign((b.end - b.start) / b.unit, Cell());
}

void begin_block() {
  shared_cells.assign(shared_guard.size(), Cell());
  for (size_t i = 0; i < shared_guard.size(); ++i)
    if (!shared_guard[i]) __start_emulated_shared[i] = (char)0xff;
}

void end_launch() {
  for (const Buffer& b : buffers) {
    bool complete = true;
    for (const Cell& cell : b.cells) complete = complete && cell.write_block != NONE;
    if (b.role == OUT && !complete) report("the output " + b.name + " is not written in full");
  }
}

}  // namespace emulator

using namespace emulator;

#define EXPORT extern "C" __attribute__((visibility("default")))

// Forgets all buffers; accesses in this range then count as accesses to the buffers declared next.
EXPORT void emulator_arena(uintptr_t start, uintptr_t end) {
  arena_start = start, arena_end = end;
  page_owner.assign((end - start + PAGE - 1) / PAGE, NONE);
  buffers.clear();
}

// `start` is a multiple of PAGE from the arena's start; no two buffers lie in one page.
EXPORT void emulator_buffer(const char* name, uintptr_t start, uintptr_t end, int unit, int role, int paired) {
  for (uintptr_t at = start; at < end; at += PAGE) page_owner[(at - arena_start) / PAGE] = (int)buffers.size();
  buffers.push_back(Buffer{name, start, end, unit, (Role)role, paired != 0, {}});
}

// Problems since the last call, one per line: offset in the library, tab, text.
EXPORT const char* emulator_problems() {
  static std::string text;
  text.clear();
  for (const std::string& line : problems) text += line + "\n";
  problems.clear();
  kinds.clear();
  return text.c_str();
}

// An atomic access: it must lie in an array that may be written in any order, and it races with nothing.
extern "C" __attribute__((visibility("hidden"))) void emulated_atomic(const void* place, int size, bool write) {
  if (thread < 0) return;
  uintptr_t address = (uintptr_t)place, pc = (uintptr_t)__builtin_return_address(0);
  bool known = address - arena_start < arena_end - arena_start;
  int owner = known ? page_owner[(address - arena_start) / PAGE] : NONE;
  if (owner < 0 || address + size > buffers[owner].end) {
    report("atomic access outside every array, the nearest is " + nearest(address), pc);
    return stop();
  }
  if (write && buffers[owner].role == IN) report("write to the input " + buffers[owner].name, pc);
}

#define PC (uintptr_t)__builtin_return_address(0)
#define INSTRUMENTED(n)                                               \
  void __tsan_read##n(void* p) { access(p, n, false, PC); }           \
  void __tsan_write##n(void* p) { access(p, n, true, PC); }           \
  void __tsan_unaligned_read##n(void* p) { access(p, n, false, PC); } \
  void __tsan_unaligned_write##n(void* p) { access(p, n, true, PC); }
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
INSTRUMENTED(1)
INSTRUMENTED(2)
INSTRUMENTED(4)
INSTRUMENTED(8)
INSTRUMENTED(16)
// clang calls these to clear or copy memory; g++ does not.
void* __tsan_memset(void* to, int byte, unsigned long n) {
  access(to, (int)n, true, PC);
  return memset(to, byte, n);
}
void* __tsan_memcpy(void* to, const void* from, unsigned long n) { return copy(to, from, n, PC); }
void* __tsan_memmove(void* to, const void* from, unsigned long n) { return copy(to, from, n, PC); }
void __tsan_read_range(void* p, unsigned long n) { access(p, (int)n, false, PC); }
void __tsan_write_range(void* p, unsigned long n) { access(p, (int)n, true, PC); }
}
