// Identification of the CPU library.

extern "C" __attribute__((visibility("default"))) const char* qsmengine_sources_hash() {
  return QSMENGINE_SOURCES_HASH;
}
