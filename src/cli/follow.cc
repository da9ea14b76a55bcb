#include "cli/follow.h"

#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/json.h"
#include "cli/frame.h"
#include "cli/run_picture.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFrameTime{100};   // at most ten frames a second
constexpr milliseconds kIdleTick{1'000};  // elapsed times go on although nothing happens
constexpr std::int64_t kDetailsEveryMs = 700;
constexpr std::size_t kTasksPerDetail = 500;  // larger runs are asked for less often, in proportion
constexpr std::size_t kMaxNotes = 10'000;

class RunFollower {
 public:
  RunFollower(Session& session, Api& api, std::string run, const FollowChoice& choice)
      : session_(session), api_(api), run_(std::move(run)), choice_(choice) {
    limits_.color = wants_color();
    limits_.unicode = writes_utf8();
  }

  Result<Followed> follow() {
    std::thread events([this] { read_events(); });
    std::thread details([this] { fetch_details(); });
    int signal = 0;
    {
      std::optional<Screen> screen;
      if (choice_.show == FollowChoice::Show::kLive) screen.emplace(STDOUT_FILENO);
      while (signal == 0 && !ended()) {
        signal = signals_.wait_for(kIdleTick);
        show(screen ? &*screen : nullptr);
        if (signal == 0 && screen) signal = rest_of_frame();
      }
      if (signal != 0) api_.cancel();
      {
        std::lock_guard lock(mutex_);
        stopping_ = true;
      }
      detail_wake_.notify_all();
      events.join();
      details.join();
      show(screen ? &*screen : nullptr);
    }
    if (signal != 0) {
      say_goodbye();
      return Followed{true, picture_.state};
    }
    if (!failure_.ok()) return failure_.error();
    return finish();
  }

 private:
  // Changes come in bursts; they are drawn together.
  int rest_of_frame() {
    const auto until = std::chrono::steady_clock::now() + kFrameTime;
    while (true) {
      const auto left = std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
      if (left.count() <= 0) return 0;
      if (const int signal = signals_.wait_for(left); signal != 0) return signal;
      if (ended()) return 0;
    }
  }

  bool ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }

  void note(const std::string& text) {
    std::lock_guard lock(mutex_);
    if (notes_.size() < kMaxNotes) notes_.push_back(text);
  }

  void show(Screen* screen) {
    std::deque<std::string> notes;
    std::vector<std::string> frame;
    {
      std::lock_guard lock(mutex_);
      notes.swap(notes_);
      if (screen != nullptr && !picture_.id.empty()) {
        const TerminalSize size = terminal_size();
        limits_.width = size.columns;
        limits_.height = size.rows > 1 ? size.rows - 1 : 1;
        frame = draw_frame(picture_, system_clock().now_ms(), limits_);
      }
    }
    if (screen == nullptr) {
      if (choice_.show == FollowChoice::Show::kNothing) return;
      for (const std::string& text : notes) session_.out << text << "\n";
      session_.out.flush();
      return;
    }
    for (const std::string& text : notes) screen->print_above(text);
    screen->draw(frame);
  }

  // --- the thread of events

  void read_events() {
    const Status status = api_.stream(run_target(run_, "/events"), "", [this](const ApiEvent& event) {
      take(event);
      signals_.wake();
      return event.name != "end";
    });
    std::lock_guard lock(mutex_);
    ended_ = true;
    if (!status.ok() && status.error().code() != Code::CallCancelled) failure_ = status;
    signals_.wake();
  }

  void take(const ApiEvent& event) {
    if (event.name == "snapshot" || event.name == "tasks") {
      const auto view = parse_json(event.data);
      if (!view.ok()) return;
      std::vector<std::string> waiting;
      {
        std::lock_guard lock(mutex_);
        if (event.name == "snapshot") {
          picture_.take_run(*view);
        } else if (const Value* tasks = view->find("tasks"); tasks != nullptr && tasks->is_list()) {
          for (const Value& task : tasks->as_list()) picture_.take_task(task);
        }
        if (event.name == "snapshot" && picture_.state == "paused" &&
            picture_.error.starts_with("BUDGET_EXCEEDED") && notes_.size() < kMaxNotes) {
          notes_.push_back(stamped(notice_line("budget_exceeded", *view)));
        }
        for (const TaskPicture& task : picture_.tasks) {
          if (waits_for_person(task.state)) waiting.push_back(task.id);
        }
      }
      for (const std::string& task : waiting) changed(task);
      return;
    }
    if (event.name == "notice") return noticed(event);
    std::string task;
    {
      std::lock_guard lock(mutex_);
      const std::string before = picture_.state;
      const TaskPicture* found = picture_.take_event(event);
      if (found != nullptr) task = found->id;
      if (picture_.state != before && picture_.state == "paused") {
        if (lines()) notes_.push_back(stamped("run " + run_ + " paused"));
      }
      details_wanted_ = true;
    }
    detail_wake_.notify_all();
    if (!task.empty()) changed(task);
  }

  [[nodiscard]] bool lines() const { return choice_.show == FollowChoice::Show::kLines; }
  static std::string stamped(const std::string& text) {
    return clock_text(system_clock().now_ms()) + "  " + text;
  }

  // Warnings and the end of the money are told whether tasks are shown live or as lines.
  void noticed(const ApiEvent& event) {
    const auto data = parse_json(event.data);
    const auto view = api_.get(run_target(run_, "?tasks=false"));
    if (!data.ok() || !view.ok()) return;
    note(stamped(notice_line(data->string_or("kind", ""), *view)));
    std::lock_guard lock(mutex_);
    details_wanted_ = true;
    detail_wake_.notify_all();
  }

  // A task has another state: a line about it, and the approval when that was asked for.
  void changed(const std::string& id) {
    std::string state;
    {
      std::lock_guard lock(mutex_);
      state = picture_.find(id)->state;
    }
    const bool needs_reason = state == "failed" || state == "backoff" || waits_for_person(state);
    if (lines() && needs_reason) {  // events do not carry errors and messages
      const auto view = api_.get(task_target(run_, id));
      std::lock_guard lock(mutex_);
      if (view.ok() && view->string_or("state", "") == state) picture_.take_task(*view);
    }
    if (lines()) {
      std::lock_guard lock(mutex_);
      const std::string line = change_line(picture_, *picture_.find(id));
      if (!line.empty() && notes_.size() < kMaxNotes) notes_.push_back(stamped(line));
    }
    if (choice_.approve && state == "approval") {
      const auto decided = api_.post(task_target(run_, id, "/approve"),
                                     Value(Value::Map{{"comment", Value("approved by ez run --approve")}}));
      note(stamped(decided.ok() ? id + " approved, because of --approve"
                                : id + " could not be approved: " + decided.error().to_string()));
    }
  }

  // --- the thread of details: agents, errors, messages, costs, which events leave out

  void fetch_details() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      detail_wake_.wait(lock, [&] { return stopping_ || details_wanted_; });
      if (stopping_ || choice_.show != FollowChoice::Show::kLive) return;
      details_wanted_ = false;
      lock.unlock();
      const auto view = api_.get(run_target(run_));
      lock.lock();
      if (view.ok()) take_details(*view);
      const auto pause = milliseconds(kDetailsEveryMs *
                                      static_cast<std::int64_t>(1 + picture_.tasks.size() / kTasksPerDetail));
      detail_wake_.wait_for(lock, pause, [&] { return stopping_; });
    }
  }

  // The view and the events race: a task is taken over only when both agree on its state.
  void take_details(const Value& view) {
    picture_.cost_microusd = view.int_or("cost_microusd", picture_.cost_microusd);
    picture_.budget_microusd = view.int_or("budget_microusd", 0);
    picture_.error = error_text(view);
    const Value* tasks = view.find("tasks");
    if (tasks == nullptr || !tasks->is_list()) return;
    for (const Value& task : tasks->as_list()) {
      const TaskPicture* known = picture_.find(task.string_or("id", ""));
      if (known == nullptr || known->state == task.string_or("state", "")) {
        picture_.take_task(task);
      } else {
        details_wanted_ = true;
      }
    }
    signals_.wake();
  }

  // --- the end

  void say_goodbye() {
    if (choice_.show == FollowChoice::Show::kNothing) return;
    session_.out << "Stopped following; run " << run_ << " goes on. `ez follow " << run_
                 << "` follows it again, `ez cancel " << run_ << "` cancels it.\n";
  }

  Result<Followed> finish() {
    EZ_ASSIGN(const Value view, api_.get(run_target(run_)));
    RunPicture last;
    last.take_run(view);
    if (choice_.show == FollowChoice::Show::kNothing) {
      session_.out << to_json(view) << "\n";
    } else {
      EZ_ASSIGN(const Value costs, api_.get(run_target(run_, "/costs")));
      last.take_costs(costs);
      session_.out << summary_text(last, limits_);
    }
    return Followed{false, last.state};
  }

  Session& session_;
  Api& api_;
  const std::string run_;
  const FollowChoice choice_;
  StopSignals signals_;
  FrameLimits limits_;
  std::mutex mutex_;
  std::condition_variable detail_wake_;
  // Guarded by mutex_ while the threads live:
  RunPicture picture_;
  std::deque<std::string> notes_;  // lines that wait to be printed
  bool ended_ = false;
  bool stopping_ = false;
  bool details_wanted_ = true;
  Status failure_;
};

}  // namespace

FollowChoice follow_choice(const Arguments& arguments) {
  FollowChoice choice;
  choice.approve = arguments.has("approve");
  const char* no_color = std::getenv("NO_COLOR");
  const bool plain = arguments.has("plain") || (no_color != nullptr && *no_color != '\0');
  if (arguments.has("json")) {
    choice.show = FollowChoice::Show::kNothing;
  } else {
    choice.show = !plain && is_live_terminal() ? FollowChoice::Show::kLive : FollowChoice::Show::kLines;
  }
  return choice;
}

Result<Followed> follow_run(Session& session, Api& api, const std::string& run, const FollowChoice& choice) {
  return RunFollower(session, api, run, choice).follow();
}

}  // namespace ez::cli
