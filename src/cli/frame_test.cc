#include "cli/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kStart = 1'795'366'000'000;
constexpr std::int64_t kNow = kStart + 65'000;

Value task_view(const std::string& id, const std::string& state, Value::Map more = {}) {
  more.emplace_back("id", Value(id));
  more.emplace_back("state", Value(state));
  return Value(std::move(more));
}

Value::Map started(std::int64_t ago_ms, std::int64_t attempt = 1) {
  return {{"started_at", Value(format_time(kNow - ago_ms))},
          {"attempt", Value(attempt)},
          {"max_attempts", Value(3)}};
}

RunPicture picture_of(Value::List tasks, const std::string& state = "running") {
  RunPicture picture;
  picture.take_run(Value(Value::Map{{"id", Value("r7")},
                                    {"workflow", Value("nightly")},
                                    {"state", Value(state)},
                                    {"created_at", Value(format_time(kStart))},
                                    {"tasks", Value(std::move(tasks))}}));
  return picture;
}

FrameLimits plain(std::size_t width, std::size_t height) { return {width, height, false, false}; }

std::string text_of(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

TEST(Frame, ShowsStatesTimesAttemptsAndAgents) {
  Value::Map done = started(60'000);
  done.emplace_back("finished_at", Value(format_time(kNow - 55'000)));
  Value::Map running = started(4'000, 2);
  running.emplace_back("agent", Value("a1"));
  Value::Map failed = started(3'000);
  failed.emplace_back("finished_at", Value(format_time(kNow - 1'000)));
  failed.emplace_back("error",
                      Value(Value::Map{{"code", Value("COMMAND_FAILED")}, {"message", Value("exit 2")}}));
  const RunPicture run =
      picture_of({task_view("inventory", "succeeded", done), task_view("build", "running", running),
                  task_view("lint", "failed", failed), task_view("release", "waiting")});
  EXPECT_EQ(text_of(draw_frame(run, kNow, plain(72, 20))),
            "r7  nightly  running  1m05s\n"
            "====================-------------------- 2/4  1 running  1 failed\n"
            "+ inventory  succeeded  5.0s\n"
            "* build      running    4.0s    attempt 2/3  a1\n"
            "x lint       failed     2.0s    COMMAND_FAILED: exit 2\n"
            ". release    waiting\n");
}

TEST(Frame, InstancesAreOneLineAndThoseThatMatter) {
  const Value::Map of_group{{"group", Value("each")}};
  Value::Map running = started(1'000);
  running.emplace_back("group", Value("each"));
  const RunPicture run = picture_of(
      {task_view("each", "expanded", {{"instances", Value(3)}}), task_view("each.0", "succeeded", of_group),
       task_view("each.1", "running", running), task_view("each.2", "ready", of_group)});
  EXPECT_EQ(text_of(draw_frame(run, kNow, plain(60, 20))),
            "r7  nightly  running  1m05s\n"
            "=============--------------------------- 1/3  1 running\n"
            "# each x3    1/3 done, 1 running\n"
            "*   each.1   running    1.0s\n");
}

TEST(Frame, WhatWaitsForAPersonSaysWhatToType) {
  const RunPicture run = picture_of({task_view("release", "approval", {{"message", Value("Ship 1.2?")}}),
                                     task_view("build", "paused", started(1'000))});
  const std::string text = text_of(draw_frame(run, kNow, plain(80, 20)));
  EXPECT_THAT(text, HasSubstr("    Ship 1.2?\n    ez approve r7 release   or   ez reject r7 release\n"));
  EXPECT_THAT(text, HasSubstr("    ez retry r7 build   or   ez reject r7 build\n"));
  EXPECT_THAT(text, HasSubstr("2 waiting for a person"));
}

TEST(Frame, FinishedTasksAreFoldedFirst) {
  Value::List tasks;
  for (int i = 0; i < 30; ++i) tasks.push_back(task_view("done-" + std::to_string(i), "succeeded"));
  for (int i = 0; i < 3; ++i)
    tasks.push_back(task_view("live-" + std::to_string(i), "running", started(1'000)));
  const auto lines = draw_frame(picture_of(tasks), kNow, plain(80, 8));
  ASSERT_EQ(lines.size(), 8U);
  const std::string text = text_of(lines);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(text, HasSubstr("* live-" + std::to_string(i)));
  EXPECT_THAT(text, HasSubstr("+ done-0 "));
  EXPECT_THAT(lines.back(), HasSubstr("28 more lines; `ez show r7` has all"));
}

TEST(Frame, NeverLargerThanTheTerminal) {
  Value::List tasks;
  for (int i = 0; i < 50; ++i) {
    tasks.push_back(task_view("a-very-long-name-of-a-task-" + std::to_string(i),
                              i % 3 == 0 ? "approval" : "running",
                              {{"message", Value(std::string(300, 'm'))}, {"agent", Value("a1")}}));
  }
  const RunPicture run = picture_of(tasks);
  for (const std::size_t width : {1U, 2U, 5U, 12U, 20U, 40U, 79U, 200U}) {
    for (const std::size_t height : {1U, 2U, 3U, 10U, 500U}) {
      const auto lines = draw_frame(run, kNow, {width, height, false, true});
      EXPECT_LE(lines.size(), height);
      for (const std::string& line : lines) EXPECT_LE(count_code_points(line), width) << line;
    }
  }
}

TEST(Frame, NamesCannotControlTheTerminal) {
  Value::Map evil = started(1'000);
  evil.emplace_back("error", Value(Value::Map{{"code", Value("X")}, {"message", Value("\x1b]0;owned\x07")}}));
  const RunPicture run = picture_of({task_view("build", "failed", evil)});
  const std::string text = text_of(draw_frame(run, kNow, plain(80, 10))) + summary_text(run, plain(80, 10)) +
                           change_line(run, run.tasks[0]);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
}

TEST(Picture, EventsMoveTasksAndBringInstances) {
  RunPicture run = picture_of({task_view("each", "waiting")});
  const std::string at = format_time(kNow - 2'000);
  ASSERT_NE(
      run.take_event({"1", "task", R"({"task":"each.0","state":"running","attempt":1,"at":")" + at + "\"}"}),
      nullptr);
  EXPECT_TRUE(run.find("each")->is_group);
  EXPECT_EQ(run.find("each.0")->started_ms, kNow - 2'000);
  const TaskPicture* done = run.take_event(
      {"2", "task",
       R"({"task":"each.0","state":"succeeded","attempt":1,"at":")" + format_time(kNow) + "\"}"});
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(change_line(run, *done), "each.0 succeeded after 2.0s");
  EXPECT_EQ(run.take_event({"3", "run", R"({"state":"succeeded","at":")" + format_time(kNow) + "\"}"}),
            nullptr);
  EXPECT_EQ(run.state, "succeeded");
  EXPECT_EQ(run.finished_ms, kNow);
  EXPECT_EQ(run.take_event({"4", "task", "no json"}), nullptr);
}

TEST(Summary, SaysWhatFailedAndWhereToLook) {
  Value::Map failed = started(3'000);
  failed.emplace_back("finished_at", Value(format_time(kNow)));
  failed.emplace_back("error", Value(Value::Map{{"code", Value("VERIFY_FAILED")}, {"message", Value("no")}}));
  const Value::Map with_artifact{
      {"artifacts", Value(Value::List{Value(Value::Map{{"name", Value("report.md")}})})}};
  RunPicture run = picture_of(
      {task_view("build", "failed", failed), task_view("report", "succeeded", with_artifact)}, "failed");
  run.finished_ms = kNow;
  run.take_costs(Value::Map{{"items", Value::List{Value::Map{{"calls", 5}, {"replayed", true}},
                                                  Value::Map{{"calls", 2}, {"replayed", false}}}}});
  EXPECT_EQ(summary_text(run, plain(80, 24)),
            "x run r7 (nightly) failed in 1m05s: 1 of 2 tasks succeeded, 1 failed\n"
            "  replayed: 5 of 7 calls of models were answered from a recording\n"
            "  x build  VERIFY_FAILED: no\n"
            "    ez logs r7 build\n"
            "  artifact report/report.md\n"
            "  ez artifacts r7 --get NAME --out FILE\n"
            "  ez show r7   ez logs r7 TASK\n");
}

}  // namespace
}  // namespace ez::cli
