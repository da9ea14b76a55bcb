// Opening of a log directory for writing, apart from what the running log does. Internal to local_log.
#pragma once

#include <memory>
#include <string>

#include "log/local_log.h"
#include "log/segment_writer.h"
#include "log/survey.h"

namespace ez::log {

// A directory that is locked, verified, and durable up to its last batch; the writer stands where the log
// goes on.
struct OpenedDirectory {
  std::unique_ptr<DiskLock> lock;
  Survey survey;
  std::unique_ptr<SegmentWriter> writer;
  OpenReport report;
};

[[nodiscard]] Result<OpenedDirectory> open_directory(Disk& disk, const std::string& directory,
                                                     const LocalLogOptions& options);

// The code under which a failure of the disk is reported while the log is written: LOG_DISK_FULL or
// LOG_WRITE_FAILED.
[[nodiscard]] Error writing_error(const Error& error);

}  // namespace ez::log
