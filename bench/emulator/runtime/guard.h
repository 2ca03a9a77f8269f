// Shared memory lies in one section of the library. A guard, recognised by its text, separates each array from the
// preceding one: arrays begin at multiples of EMULATED_ALIGNMENT, guards anywhere.
#pragma once

#define EMULATED_GUARD "<a guard between two arrays of shared memory, 64 characters long>"
#define EMULATED_ALIGNMENT 16
