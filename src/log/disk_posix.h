// The machine's disk: pread, pwrite, fdatasync, fallocate, flock. Thread-safe; lives as long as the process.
#pragma once

#include "log/disk.h"

namespace ez::log {

[[nodiscard]] Disk& posix_disk();

}  // namespace ez::log
