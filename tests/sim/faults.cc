// Faults of the log, and what is compared with readers that did not have them.
#include "world.h"

namespace ez::sim {

// For a while the disk is slow, so that much is on the way when something else goes wrong, or it is full.
void World::disturb_log() {
  log_trouble_ = 1 + static_cast<int>(random_.below(120));
  if (random_.chance(1, 3)) {
    ++tally_.full;
    return cluster_.set_disk_full(true);
  }
  ++tally_.slow;
  log::FakeLogOptions options;
  options.lose_leadership = 12;
  options.max_delay_polls = 40;
  options.max_election_polls = 20;
  cluster_.set_options(options);
}

// A client or an agent that saw no answer asked another leader again: what is in the log comes once more,
// late and out of its order, whatever it was.
void World::repeat_record() {
  if (cluster_.entries().empty()) return;
  std::string bytes = cluster_.entries()[random_.below(cluster_.entries().size())].bytes;
  ++tally_.repeated;
  cluster_.take_over({std::move(bytes)});
}

std::string World::check_replica() { return replica_.catch_up(kernel_->state()); }

std::string World::check_shares() {
  // A repeated assignment was not chosen by anybody now.
  const std::uint64_t disturbances = tally_.crashes + tally_.takeovers + tally_.repeated;
  const bool disturbed = disturbances != disturbances_;
  disturbances_ = disturbances;
  bool steady = true;
  for (const SimAgent& agent : agents_) {
    steady = steady && !(agent.demand && kernel_->on_its_way(*agent.demand));
  }
  std::string found = fairness_.observe(kernel_->state(), steady, disturbed);
  tally_.shares = fairness_.compared();
  return found;
}

}  // namespace ez::sim
