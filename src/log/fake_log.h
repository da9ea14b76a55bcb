// A log in memory for simulations: it does, by a seed, everything that a replicated log may do to the engine.
// It loses leadership at any moment, answers kUnknown for appends that appear later and for appends that
// never do, rejects, lets another leader's records in between, delays commits, and keeps snapshots.
//
// FakeCluster owns what is committed; FakeLog handles (made by open()) come and go like processes. Opening a
// handle takes leadership from the one before. Destroying a handle is a crash: what it had in flight appears
// later or never.
//
// Threads. As log.h says; the cluster is used from the thread of its handles, except snapshot writers.
// The cluster outlives its handles, readers and writers.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.h"
#include "log/log.h"

namespace ez::log {

struct FakeLogOptions {
  // Chances of 1000, drawn at every poll of the leader.
  std::uint64_t lose_leadership = 0;
  std::uint64_t foreign_record = 0;   // another leader takes over and commits a record of foreign_bytes()
  std::uint64_t max_delay_polls = 0;  // a proposal commits at the latest after so many polls
  std::uint64_t max_election_polls = 0;
};

class FakeCluster {
 public:
  explicit FakeCluster(std::uint64_t seed, FakeLogOptions options = {});
  ~FakeCluster();

  [[nodiscard]] std::unique_ptr<Log> open();

  // Another leader takes over now and commits these records in its epoch; the present handle has to win a new
  // one.
  void take_over(std::vector<std::string> records);
  // What foreign records hold; default: empty bytes. The engine's tests set valid commands here.
  void set_foreign(std::vector<std::string> choices);
  // While set, append() refuses with LOG_DISK_FULL.
  void set_disk_full(bool full);
  // From now on nothing commits; the handle reports failed(LOG_WRITE_FAILED) at its next poll.
  void fail();
  void set_options(FakeLogOptions options);

  struct Entry {
    std::uint64_t epoch = 0;
    std::string bytes;
  };
  // Committed and not trimmed, in order; the first has first_index().
  [[nodiscard]] const std::deque<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::uint64_t first_index() const { return first_index_; }
  [[nodiscard]] std::uint64_t last_index() const { return first_index_ + entries_.size() - 1; }

 private:
  friend class FakeLog;
  class Reader;
  class Writer;
  struct Proposal {
    std::uint64_t epoch;
    Ticket ticket;
    std::string bytes;
    std::uint64_t polls_left;
  };
  struct Snapshot {
    std::uint64_t epoch = 0;
    std::string bytes;
  };

  void commit(std::uint64_t epoch, std::string bytes);
  void add_snapshot(std::uint64_t index, Snapshot snapshot);

  SeededRandom random_;
  FakeLogOptions options_;
  std::deque<Entry> entries_;
  std::uint64_t first_index_ = 1;
  std::uint64_t epoch_ = 0;
  std::vector<std::string> foreign_{""};
  bool disk_full_ = false;
  bool failed_ = false;
  class FakeLog* leader_ = nullptr;  // the handle that is open; it leads or wants to

  mutable std::mutex snapshots_mutex_;
  std::map<std::uint64_t, Snapshot> snapshots_;
  bool writing_ = false;
};

}  // namespace ez::log
