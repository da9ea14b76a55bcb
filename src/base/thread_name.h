// Names for threads, as top, perf and debuggers show them.
#pragma once

#include <pthread.h>

namespace ez {

// Of the calling thread; at most 15 characters, more is an error that is ignored.
inline void name_thread(const char* name) { (void)::pthread_setname_np(::pthread_self(), name); }

}  // namespace ez
