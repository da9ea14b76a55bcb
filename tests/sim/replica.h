// A second reader of the same log, as a replica of a cluster is: it applies what has been committed, starts
// anew from a snapshot when it has fallen behind the trimmed log, and must hold the same state as the leader
// at every index.
#pragma once

#include <string>

#include "core/state.h"
#include "log/fake_log.h"

namespace ez::sim {

class Replica {
 public:
  explicit Replica(log::FakeCluster& cluster) : cluster_(cluster) {}

  // Applies records up to `index` and compares with the leader's state, which is that after `index`. Empty:
  // equal.
  [[nodiscard]] std::string catch_up(const core::State& leader);
  // Forgets everything; the next catch_up() begins with `snapshot` (bytes of core::encode_snapshot at that
  // index).
  void restore(std::string snapshot, LogIndex index);

 private:
  log::FakeCluster& cluster_;
  core::State state_;
  std::string snapshot_;  // to begin with; empty: the start of the log
  LogIndex snapshot_index_;
  bool begun_ = false;
};

}  // namespace ez::sim
