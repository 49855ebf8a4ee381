// How jemalloc serves kvd: memory in huge pages. Memtables are walked at random, by every write;
// with small pages a quarter of a write's time goes into finding where they are.

// Read by jemalloc before main; weak there, and null where another allocator is in place.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "thp:always,metadata_thp:auto";
}
