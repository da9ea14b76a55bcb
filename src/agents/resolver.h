// Settles the merge of an item whose task has a resolver: an agent that works in a workspace in which the
// merge is in progress (merge_problem.h), at most ResolverNeed::tries times.
//
// It works inside the merge's lease, as a guest of the merging attempt: the same worker, sandbox limits, log,
// cancellation and fencing; what its model calls cost is the task's. Inside the sandbox, beside what
// attempt.h lists: /ez/merge (EZ_MERGE), read-only, with
//   base/<path>, ours/<path>, theirs/<path>   the sides of each file that conflicts, where they have it
//   conflict.txt, check.txt                   what conflicts; the end of what the failed check printed
//   merge.json                                try, tries, files, allowed, earlier tries
// An agent that asks a model gets the same as its prompt. Artifacts that it leaves are named
// resolver/<try>/<name>.
//
// Threads: of the Attempt.
#pragma once

#include <string>
#include <vector>

#include "agents/attempt.h"
#include "agents/merge_problem.h"

namespace ez::agents {

inline constexpr std::size_t kMaxShownSide = 8 * 1024;    // of one side, in a prompt
inline constexpr std::size_t kMaxShownSides = 96 * 1024;  // of all

class Resolver final : public MergeResolver {
 public:
  // Both outlive it. The attempt's item has a resolver.
  Resolver(Attempt& attempt, const Attempt::MakeBody& bodies);

  [[nodiscard]] bool may_try() const override;
  [[nodiscard]] Result<bool> settle(Workspace& place, const MergeProblem& problem) override;
  void refused(const Error& why) override;
  // The check failed on a merged tree; `printed` is the end of its output.
  void check_failed(const Error& why, const std::string& printed);
  // The merge is over.
  void report(bool merged, TaskResult& result);

 private:
  [[nodiscard]] Status show_merge(const Workspace& place, const MergeProblem& problem) const;
  [[nodiscard]] WorkItem item_of_try(const Workspace& place, const MergeProblem& problem) const;

  Attempt& attempt_;
  const Attempt::MakeBody& bodies_;
  const ResolverNeed& need_;
  std::vector<ResolverTry> tries_;  // one without an error is not judged yet, or was taken
  std::vector<ArtifactRef> artifacts_;
  bool gave_up_ = false;  // another try would end the same way
  std::string check_;     // why the check failed
  std::string printed_;
};

// What an agent that asks a model is told. Free of anything that differs from run to run.
[[nodiscard]] std::string resolver_prompt(const WorkItem& item, const Workspace& place,
                                          const MergeProblem& problem,
                                          const std::vector<ResolverTry>& earlier, const std::string& check,
                                          const std::string& printed);

}  // namespace ez::agents
