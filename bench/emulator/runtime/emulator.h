// Shared by the parts of the runtime: the running thread, and the problems found.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace emulator {

constexpr int MOST_THREADS = 256, WARP = 32;

extern int thread;  // running thread of the block, -1 outside a launch
extern unsigned block;  // running block
extern unsigned interval;  // number of barriers that the block has passed

// Records a problem: one line per kind and place in the code.
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
