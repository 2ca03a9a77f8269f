# The CPU library for a manylinux wheel, for this processor or another one: GCC compiles, as everywhere else, and
# zig links against the C library of manylinux_2_28. tools/wheels.py sets the variables of the environment.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR $ENV{WHEEL_MACHINE})
set(CMAKE_CXX_COMPILER $ENV{WHEEL_CXX})
set(CMAKE_CXX_FLAGS_INIT "-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.")
set(CMAKE_CXX_CREATE_SHARED_MODULE
  "$ENV{WHEEL_LINK} -target $ENV{WHEEL_MACHINE}-linux-gnu.2.28 -shared -o <TARGET> <OBJECTS> $ENV{WHEEL_LIBRARIES} -lm")

set(OpenMP_CXX_FLAGS -fopenmp)
set(OpenMP_CXX_LIB_NAMES gomp)
set(OpenMP_gomp_LIBRARY $ENV{WHEEL_GOMP})
