// What the tests of the embedded bus share: a bus over a log on a given disk.
#pragma once

#include <memory>
#include <string>

#include "log/disk.h"
#include "log/local_log.h"
#include "queue/embedded/embedded_bus.h"

namespace ez::queue {

inline Result<std::unique_ptr<EmbeddedBus>> open_on(log::Disk& disk, const std::string& directory,
                                                    EmbeddedOptions options = {},
                                                    std::uint64_t segment_bytes = 4ULL << 20) {
  log::LocalLogOptions log_options;
  log_options.segment_bytes = segment_bytes;
  log_options.max_batch_bytes = 1ULL << 20;
  log_options.reserve_bytes = 0;
  log_options.background_prepare = false;
  log_options.zero_fill = false;
  EZ_ASSIGN(auto log, log::open_local_log(disk, directory, log_options));
  return EmbeddedBus::open(std::move(log), options);
}

}  // namespace ez::queue
