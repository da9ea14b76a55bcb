// Batches: one action on every live run that a filter (and the words of a list) matches. Internal to
// http/api/.
//
// A batch walks over the live runs in pieces of kBatchPiece: the loop only hands out the piece, the filter is
// evaluated on the render thread, the actions go through the log like any other command, and the next piece
// begins when all of them are answered. So a batch never holds the loop, and any number of runs costs little
// memory.
//
// Batches live in memory: at most kMaxBatches are remembered, at most kMaxRunningBatches run at a time
// (OVERLOADED). A restart ends them; what was done stays done.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/expression.h"
#include "http/api/context.h"
#include "http/api/run_filter.h"

namespace ez::http::api {

inline constexpr std::size_t kBatchPiece = 200;
inline constexpr std::size_t kBatchShown = 20;
inline constexpr std::size_t kMaxBatches = 100;
inline constexpr std::size_t kMaxRunningBatches = 4;

struct BatchFailure {
  std::string run;
  std::string code;
  std::string message;
};

struct Batch {
  std::uint64_t id = 0;  // 0: a preview
  std::string action;
  core::pb::ControlRun::Action command = core::pb::ControlRun::NONE;  // NONE: it sends `signal`
  core::pb::SendSignal signal;                                        // run and principal are filled in later
  std::string filter_text;
  std::string name_space;
  std::string principal;
  std::string comment;
  std::vector<Expression> filter;  // one, or none
  RunFilter where;                 // what a run has to match besides
  Value where_given;
  std::int64_t started_ms = 0;
  DeferredPtr preview;  // who waits for the count; empty: do it

  std::mutex mutex;
  // Guarded by mutex:
  std::int64_t finished_ms = 0;
  std::uint64_t examined = 0;
  std::uint64_t matched = 0;
  std::uint64_t done = 0;
  std::uint64_t refused = 0;
  std::uint64_t not_evaluated = 0;
  Value::List shown;  // the first that match
  std::vector<BatchFailure> failures;
  std::optional<Error> ended_by;  // why it ended before it was through
  std::size_t open = 0;           // actions of this piece that are not answered yet
};
using BatchPtr = std::shared_ptr<Batch>;

class Batches {
 public:
  // Errors: OVERLOADED. Gives it an id.
  [[nodiscard]] Status add(const BatchPtr& batch);
  [[nodiscard]] BatchPtr find(std::uint64_t id) const;
  [[nodiscard]] std::vector<BatchPtr> all() const;  // newest first

 private:
  mutable std::mutex mutex_;
  std::deque<BatchPtr> batches_;
  std::uint64_t next_ = 1;
};

}  // namespace ez::http::api
