// ROMEO's forest: a voxel knows the root of its tree and the turns that make its phase continue the root's.
#pragma once
#include "vmath.h"

#define TURN_PLACE 4294967296LL
#define TWO_PI_EXCESS_F 1.7484556e-7f  // TWO_PI_F - 2 pi

// root + 2^32 turns.
FN Index tree_node(Index root, int turns) { return root + turns * TURN_PLACE; }
FN Index root_of(Index node) { return node & (TURN_PLACE - 1); }
FN int turns_of(Index node) { return (int)(node >> 32); }

// Whole turns in x [rad].
FN int whole_turns(float x) { return (int)fround(x * INV_TWO_PI_F); }
