// Artifacts of a server for work on this machine: what a check needs of its dependencies. Nothing is stored.
//
// Threads: one at a time. The Api outlives it.
#pragma once

#include "agents/artifacts.h"
#include "cli/api_port.h"

namespace ez::cli {

class ApiArtifacts final : public agents::ArtifactPort {
 public:
  explicit ApiArtifacts(Api& api) : api_(api) {}
  Status fetch(const std::string& sha256, const std::string& path) override;
  // INTERNAL: a check leaves nothing.
  Result<agents::ArtifactRef> store(const std::string& path) override;

 private:
  Api& api_;
};

}  // namespace ez::cli
