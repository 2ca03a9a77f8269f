// What the parts of the runtime share: which thread runs, and what was found.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace emulator {

constexpr int MOST_THREADS = 256, WARP = 32;

extern int thread;  // running thread of the block, -1 outside a launch
extern unsigned block;  // running block
extern unsigned interval;  // barriers the block has passed

// One line for each kind of problem and each place in the code.
void report(const std::string& what, uintptr_t pc = 0);
void forget_problems();

// Ends the launch from inside a thread: an access outside all known memory would crash.
[[noreturn]] void stop();
bool on_own_stack(uintptr_t address);
bool in_closure(uintptr_t address);

void begin_launch();
void begin_block();
void end_launch();

// Requests of warps, for the access table; `argument` is -1 for shared memory.
extern bool tracing;
void trace(uintptr_t pc, uintptr_t address, int size, bool write, int argument, bool paired);
void begin_thread();
void end_interval();

}  // namespace emulator
