// Control: the thread of a broker backend that keeps the registry, and does what is asked of topics and
// groups. Jobs run one at a time, in order; a job whose session breaks runs again on a new one until its
// deadline, so it has to be repeatable.
//
// Threads. submit() and the readers of the registry from any thread; jobs and `changed` on its own thread.
// The destructor ends it; jobs that wait get SHUTTING_DOWN.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "queue/broker/driver.h"
#include "queue/broker/hearing.h"

namespace ez::queue::broker {

class Control {
 public:
  // `changed` is called after the registry has changed.
  Control(Driver& driver, std::function<void()> changed);
  ~Control();
  void start();  // once; before that, jobs only gather
  void stop();   // no job runs any more when it returns; jobs that wait are answered by the destructor
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  using Work = std::function<Status(ControlSession&)>;
  // `done` is called once: with what the work answered last, or why it could not run.
  void submit(Work work, std::chrono::milliseconds limit, std::function<void(Status)> done);
  // Waits for the job.
  [[nodiscard]] Status run(Work work, std::chrono::milliseconds limit);

  // Ready-made jobs, to be called inside a job.
  [[nodiscard]] Status sync(ControlSession& session);  // the registry is as of now
  [[nodiscard]] Status make_topics(ControlSession& session, const std::vector<std::string>& topics);
  [[nodiscard]] Status make_group(ControlSession& session, const GroupName& group);
  // The registry has those rules (rules_text()), the group follows them when one is named, and the broker has
  // no queue any more that they took from a group.
  [[nodiscard]] Status keep_rules(ControlSession& session, const std::string& rules,
                                  const std::optional<GroupName>& group);
  // Once more, those that nobody reads: a reader that had not heard of it may have made them again.
  [[nodiscard]] Status drop_queues(ControlSession& session, const std::vector<TopicQueue>& queues);
  // Whether it was there.
  [[nodiscard]] Result<bool> drop_group(ControlSession& session, const GroupName& group);

  // A copy of what it knows, or a look at it under its lock.
  template <typename Look>
  auto with_registry(Look look) const {
    std::lock_guard lock(registry_mutex_);
    return look(registry_);
  }

  void own_broadcast(const GroupName& group);
  void disown_broadcast(const GroupName& group);

 private:
  struct Job {
    Work work;
    std::function<void(Status)> done;
    std::int64_t deadline_us = 0;
  };
  void loop();
  Status attempt(const Work& work);
  void tick();

  Driver& driver_;
  const std::function<void()> changed_;
  std::unique_ptr<ControlSession> session_;  // of the thread
  std::int64_t next_try_us_ = 0;
  std::int64_t pause_ms_ = 0;
  std::int64_t overdue_us_ = 0;
  Hearing hearing_;  // of the thread
  // Of changes of the registry that are not carried out wholly; of the thread, too.
  std::map<GroupName, std::vector<TopicQueue>> dropping_;  // queues of groups that were dropped
  std::vector<TopicQueue> unread_;                         // taken from their groups by rules
  std::set<std::string> regrouped_;                        // topics whose readers the rules changed

  mutable std::mutex registry_mutex_;
  Registry registry_;

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Job> jobs_;
  std::set<GroupName> broadcasts_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ez::queue::broker
