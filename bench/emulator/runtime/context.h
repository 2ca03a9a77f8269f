// Switching between fibers: a few instructions on x86-64, ucontext elsewhere (or with EMULATOR_UCONTEXT).
#pragma once
#include <cstddef>

#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)

struct Context {
  void* stack_pointer;
};

extern "C" void emulated_switch(void** from, void* to);
asm(R"(
.text
.hidden emulated_switch
.globl emulated_switch
emulated_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");

inline void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + size - 64);
  *--top = nullptr;  // aligns the stack at entry as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context.stack_pointer = top;
}

inline void switch_to(Context& from, Context& to) { emulated_switch(&from.stack_pointer, to.stack_pointer); }

#else

#include <ucontext.h>

struct Context {
  ucontext_t state;
};

inline void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
  getcontext(&context.state);
  context.state.uc_stack.ss_sp = stack;
  context.state.uc_stack.ss_size = size;
  context.state.uc_link = nullptr;
  makecontext(&context.state, entry, 0);
}

inline void switch_to(Context& from, Context& to) { swapcontext(&from.state, &to.state); }

#endif
