// Combines the accesses of a warp's lanes into the requests that a GPU would make: 32-byte sectors of global memory,
// passes over the 32 banks of shared memory. The n-th access of each lane to a place within an interval belongs to
// one request. A place is a source line once emulator_place has named it, and an instruction before that.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "emulator.h"

extern char __ehdr_start[] __attribute__((visibility("hidden")));

namespace emulator {

bool tracing;

namespace {

constexpr int SECTOR = 32, BANKS = 32, WORD = 4, SHARED = -1;
constexpr int LOOK_BACK = 16;  // accesses between the parts of a complex number, at most

struct Access {
  uintptr_t place, address;
  int occurrence, size, argument;
  bool write;
};

struct Row {
  uintptr_t place;
  long argument;  // -1: shared memory
  long write;
  long requests;  // of lanes that ask for different addresses
  long scalars;  // of lanes that all ask for one address
  long units;  // sectors, or passes over the banks
  long useful;  // bytes requested, or the smallest number of passes
};

std::vector<Access> warp_accesses;
std::unordered_map<uintptr_t, uintptr_t> names;  // instruction (offset in the library) -> place
std::map<std::tuple<uintptr_t, int, bool>, int> occurrences;
size_t lane_start;  // where the accesses of the running lane begin
int warp = -1;
std::map<std::tuple<uintptr_t, int, bool>, Row> rows;

// Sectors and distinct bytes of a request to global memory.
void add_global(Row& row, const Access* from, const Access* to) {
  std::set<uintptr_t> sectors, bytes;
  for (; from != to; ++from)
    for (uintptr_t byte = from->address; byte < from->address + from->size; ++byte) {
      sectors.insert(byte / SECTOR);
      bytes.insert(byte);
    }
  row.units += (long)sectors.size();
  row.useful += (long)bytes.size();
}

// Passes over the banks: the words of one bank are read one after the other. Accesses of 8 or 16 bytes are made by
// halves or quarters of a warp.
void add_shared(Row& row, const Access* from, const Access* to) {
  int lanes = std::max(1, WARP * WORD / std::max(from->size, WORD));
  for (const Access* part = from; part < to; part += lanes) {
    std::set<uintptr_t> words[BANKS];
    for (const Access* a = part; a < std::min(part + lanes, to); ++a)
      for (uintptr_t word = a->address / WORD; word <= (a->address + a->size - 1) / WORD; ++word)
        words[word % BANKS].insert(word);
    size_t passes = 0;
    for (const auto& bank : words) passes = std::max(passes, bank.size());
    row.units += (long)passes;
    row.useful += 1;
  }
}

void add_request(const Access* from, const Access* to) {
  Row& row = rows[{from->place, from->argument, from->write}];
  row.place = from->place;
  row.argument = from->argument;
  row.write = from->write;
  if (std::all_of(from, to, [&](const Access& a) { return a.address == from->address; })) {
    ++row.scalars;
    return;
  }
  ++row.requests;
  if (from->argument == SHARED)
    add_shared(row, from, to);
  else
    add_global(row, from, to);
}

// Stable: lanes stay in order within a request.
void end_warp() {
  auto key = [](const Access& a) { return std::make_tuple(a.place, a.argument, a.write, a.occurrence); };
  std::stable_sort(warp_accesses.begin(), warp_accesses.end(),
                   [&](const Access& a, const Access& b) { return key(a) < key(b); });
  const Access* end = warp_accesses.data() + warp_accesses.size();
  for (const Access* from = warp_accesses.data(); from != end;) {
    const Access* to = std::find_if(from, end, [&](const Access& a) { return key(a) != key(*from); });
    add_request(from, to);
    from = to;
  }
  warp_accesses.clear();
}

}  // namespace

void begin_thread() {
  if (!tracing) return;
  if (thread / WARP != warp) end_warp();
  warp = thread / WARP;
  occurrences.clear();
  lane_start = warp_accesses.size();
}

void end_interval() {
  if (!tracing) return;
  end_warp();
  warp = -1;
}

void trace(uintptr_t pc, uintptr_t address, int size, bool write, int argument, bool paired) {
  if (paired && size == WORD) {
    size_t oldest =
        std::max(lane_start, warp_accesses.size() - std::min<size_t>(warp_accesses.size(), LOOK_BACK));
    for (size_t i = warp_accesses.size(); i-- > oldest;) {
      Access& other = warp_accesses[i];
      if (other.address == (address ^ WORD) && other.size == WORD && other.write == write &&
          other.argument == argument) {
        other.address = std::min(address, other.address);
        other.size = 2 * WORD;
        return;
      }
    }
  }
  uintptr_t place = pc - 1 - (uintptr_t)__ehdr_start;
  auto name = names.find(place);
  if (name != names.end()) place = name->second;
  warp_accesses.push_back({place, address, occurrences[{place, argument, write}]++, size, argument, write});
}

}  // namespace emulator

using namespace emulator;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void emulator_trace(int on) {
  tracing = on != 0;
  rows.clear();
  if (!on) names.clear();
}

// Assigns an instruction to a place.
EXPORT void emulator_place(uintptr_t offset, uintptr_t place) { names[offset] = place; }

// Copies the rows; with nullptr returns their number.
EXPORT long emulator_rows(Row* out) {
  for (const auto& entry : rows)
    if (out) *out++ = entry.second;
  return (long)rows.size();
}
