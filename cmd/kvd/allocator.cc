// How jemalloc serves kvd. In huge pages: memtables are walked at random, by every write, and with
// small pages a quarter of a write's time goes into finding where they are. From an arena per core,
// and with memory kept for a minute: the next memtable goes where the last one was.

// Read by jemalloc before main; weak there, and null where another allocator is in place.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "thp:always,metadata_thp:auto,percpu_arena:percpu,dirty_decay_ms:60000";
}
