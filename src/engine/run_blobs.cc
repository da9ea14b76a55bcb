#include "engine/run_blobs.h"

#include <set>

namespace ez::engine {

std::vector<std::string> blobs_of(const core::Run& run) {
  std::set<std::string> out;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const core::TaskDetail& detail = run.tasks[i].get();
    for (const core::Artifact& artifact : detail.artifacts) out.insert(artifact.sha256);
    if (!detail.output_blob.empty()) out.insert(detail.output_blob);
  }
  return {out.begin(), out.end()};
}

}  // namespace ez::engine
