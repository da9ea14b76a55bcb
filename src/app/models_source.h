// Where the configuration of models is: a file that was named, or models.yaml of the data directory.
#pragma once

#include <string>

#include "base/result.h"

namespace ez::app {

struct ModelsSource {
  std::string text;    // empty: there is none
  std::string folder;  // that it names files in
};

// `file`: as it was named; empty: <data>/models.yaml when it is there. IO_FAILED.
[[nodiscard]] Result<ModelsSource> read_models_source(const std::string& file, const std::string& data);

}  // namespace ez::app
