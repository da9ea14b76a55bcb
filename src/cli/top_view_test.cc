#include "cli/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "orchestration/parse.h"

namespace ez::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kTopNow = 1'795'000'000'000;

Value run_row(const std::string& id, const std::string& state, const std::string& workflow = "nightly") {
  return Value(Value::Map{
      {"id", Value(id)},
      {"workflow", Value(workflow)},
      {"state", Value(state)},
      {"duration_ms", Value(65'000)},
      {"cost_microusd", Value(1'250'000)},
      {"budget_microusd", Value(10'000'000)},
      {"waiting_for_person", Value(1)},
      {"counts",
       Value(Value::Map{
           {"total", Value(8)}, {"open", Value(5)}, {"running", Value(2)}, {"failed", Value(1)}})}});
}

TopData sample_data(std::size_t runs = 3) {
  TopData data;
  data.server = "http://127.0.0.1:7878";
  data.at_ms = kTopNow;
  for (std::size_t i = 0; i < runs; ++i)
    data.runs.push_back(run_row("r" + std::to_string(runs - i), i == 1 ? "paused" : "running"));
  data.agents.push_back(Value(Value::Map{{"id", Value("a1")},
                                         {"name", Value("local")},
                                         {"type", Value("claude")},
                                         {"state", Value("busy")},
                                         {"running", Value(2)},
                                         {"capacity", Value(4)},
                                         {"completed", Value(17)},
                                         {"failed", Value(1)}}));
  data.namespaces.push_back(Value(Value::Map{
      {"name", Value("default")}, {"ready", Value(3)}, {"running", Value(2)}, {"max_running", Value(9)}}));
  data.topics.push_back(Value(Value::Map{{"topic", Value("orders.new")},
                                         {"ready", Value(41)},
                                         {"in_flight", Value(2)},
                                         {"paused", Value(true)}}));
  data.costs = Value(
      Value::Map{{"cost_microusd", Value(2'000'000)},
                 {"items", Value(Value::List{Value(Value::Map{{"provider", Value("anthropic")},
                                                              {"model", Value("cheap")},
                                                              {"calls", Value(3)},
                                                              {"cost_microusd", Value(500'000)}}),
                                             Value(Value::Map{{"provider", Value("anthropic")},
                                                              {"model", Value("dear")},
                                                              {"calls", Value(2)},
                                                              {"cost_microusd", Value(1'500'000)}})})}});
  data.status = Value(Value::Map{{"version", Value("0.1.0")},
                                 {"uptime_ms", Value(7'200'000)},
                                 {"ready", Value(true)},
                                 {"runs", Value(Value::Map{{"live", Value(3)}})},
                                 {"tasks", Value(Value::Map{{"ready", Value(3)}, {"leased", Value(2)}})}});
  return data;
}

FrameLimits bare(std::size_t width, std::size_t height) { return {width, height, false, false}; }

std::string screen_text(TopState& state, const TopData& data, const FrameLimits& limits = bare(80, 24)) {
  std::string out;
  for (const std::string& line : draw_top(state, data, kTopNow, limits)) out += line + "\n";
  return out;
}

TopWish type_keys(TopState& state, const TopData& data, std::string_view bytes) {
  KeyReader reader;
  TopWish wish;
  auto keys = reader.take(bytes);
  for (const KeyPress& key : reader.flush()) keys.push_back(key);
  for (const KeyPress& key : keys) {
    (void)screen_text(state, data);
    wish = press_key(state, data, key, 10);
  }
  return wish;
}

TEST(Top, ShowsTheFiguresAndTheRuns) {
  TopState state;
  const std::string text = screen_text(state, sample_data());
  EXPECT_THAT(text, HasSubstr("ez top  http://127.0.0.1:7878  ez 0.1.0  up 2h00m"));
  EXPECT_THAT(text,
              HasSubstr("runs 3 live, 1 paused  cost $2.00  tasks 2 running, 3 ready, 3 ask  agents 2/4"));
  EXPECT_THAT(text, HasSubstr("[1 Runs]"));
  EXPECT_THAT(text, HasSubstr("> * r3   nightly   running   3/8      2     1     1  1m05s  $1.25/$10.00\n"));
  EXPECT_THAT(text, HasSubstr("Enter open"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Top, FitsEveryTerminal) {
  TopData data = sample_data(40);
  data.failure = std::string(300, 'f');
  data.runs[3] = run_row("r9", "running", std::string(200, 'w'));
  for (const std::size_t width : {1U, 4U, 5U, 20U, 40U, 79U, 80U, 200U}) {
    for (const std::size_t height : {1U, 2U, 3U, 4U, 5U, 6U, 10U, 24U, 60U}) {
      for (const char* keys : {"", "2", "3", "4", "?", "\r"}) {
        TopState state;
        state.places[0].id = "r9";
        (void)type_keys(state, data, keys);
        const auto lines = draw_top(state, data, kTopNow, bare(width, height));
        EXPECT_EQ(lines.size(), height) << width << "x" << height << " " << keys;
        for (const std::string& line : lines) EXPECT_LE(count_code_points(line), width) << line;
      }
    }
  }
}

TEST(Top, KeysMoveAndTheSelectionFollowsItsRun) {
  TopData data = sample_data(30);
  TopState state;
  (void)type_keys(state, data, "jj\x1b[B");
  EXPECT_EQ(state.places[0].id, "r27");
  // A new run on top and one less below: the chosen one stays chosen.
  data.runs.insert(data.runs.begin(), run_row("r31", "running"));
  EXPECT_THAT(screen_text(state, data), HasSubstr("> * r27 "));
  (void)type_keys(state, data, "\x1b[F");
  EXPECT_THAT(screen_text(state, data), HasSubstr("> * r1 "));
  (void)type_keys(state, data, "\x1b[H");
  EXPECT_THAT(screen_text(state, data), HasSubstr("> * r31 "));
  // It has gone: its place is taken.
  data.runs.erase(data.runs.begin());
  EXPECT_THAT(screen_text(state, data), HasSubstr("> * r30 "));
  (void)type_keys(state, data, "kk\x1b[5~");
  EXPECT_EQ(state.places[0].id, "r30");
}

TEST(Top, TabsShowAgentsQueuesAndCost) {
  const TopData data = sample_data();
  TopState state;
  (void)type_keys(state, data, "\t");
  EXPECT_THAT(screen_text(state, data), HasSubstr("a1     local  claude  busy    2/4    17       1"));
  (void)type_keys(state, data, "3");
  EXPECT_THAT(screen_text(state, data), HasSubstr("orders.new  messages    41     2        0     0  paused"));
  EXPECT_THAT(screen_text(state, data), HasSubstr("default     tasks        3   2/9"));
  (void)type_keys(state, data, "4");
  const std::string costs = screen_text(state, data);
  EXPECT_LT(costs.find("anthropic/dear"), costs.find("anthropic/cheap"));
  (void)type_keys(state, data, "\t");
  EXPECT_EQ(state.tab, TopTab::kRuns);
}

TEST(Top, CancelAndPauseAskFirst) {
  const TopData data = sample_data();
  TopState state;
  EXPECT_EQ(type_keys(state, data, "c").kind, TopWish::Kind::kNothing);
  EXPECT_THAT(screen_text(state, data), HasSubstr("Cancel r3 (nightly)? What runs is stopped. y/n"));
  EXPECT_EQ(type_keys(state, data, "n").kind, TopWish::Kind::kNothing);
  EXPECT_THAT(screen_text(state, data), HasSubstr("Nothing was done."));
  (void)type_keys(state, data, "c");
  // Whatever else is pressed is no.
  EXPECT_EQ(type_keys(state, data, "\r").kind, TopWish::Kind::kNothing);
  EXPECT_TRUE(state.open_run.empty());
  const TopWish wish = type_keys(state, data, "cy");
  EXPECT_EQ(wish.kind, TopWish::Kind::kControl);
  EXPECT_EQ(wish.verb + " " + wish.run, "cancel r3");
  // The second one is paused: p lets it go on.
  EXPECT_EQ(type_keys(state, data, "jpy").verb, "resume");
  EXPECT_EQ(type_keys(state, data, "kpy").verb, "pause");
}

TEST(Top, FinishedRunsAreLeftAlone) {
  TopData data = sample_data(0);
  data.runs.push_back(run_row("r1", "failed"));
  TopState state;
  EXPECT_EQ(type_keys(state, data, "cy").kind, TopWish::Kind::kNothing);
  (void)type_keys(state, data, "p");
  EXPECT_THAT(screen_text(state, data), HasSubstr("r1 is over: it failed."));
  data.runs.clear();
  (void)type_keys(state, data, "c");
  EXPECT_THAT(screen_text(state, data), HasSubstr("Choose a run first."));
}

TEST(Top, OpensARunsGraphAndItsTasks) {
  TopData data = sample_data();
  TopState state;
  EXPECT_EQ(type_keys(state, data, "\r").kind, TopWish::Kind::kLook);
  EXPECT_EQ(state.open_run, "r3");
  EXPECT_THAT(screen_text(state, data), HasSubstr("Looking at r3"));
  data.open_run = "r3";
  data.open_view = run_row("r3", "running");
  Value::List tasks;
  for (const char* id : {"one", "two"})
    tasks.push_back(Value(Value::Map{{"id", Value(id)}, {"state", Value("running")}, {"attempt", Value(1)}}));
  data.open_view.set("tasks", Value(tasks));
  const auto parsed = orchestration::parse_workflow(
      "name: nightly\ntasks:\n  - {id: one, run: x}\n  - {id: two, dependencies: [one], run: x}\n");
  ASSERT_TRUE(parsed.ok());
  data.open_workflow = parsed.workflow;
  const std::string graph = screen_text(state, data);
  EXPECT_THAT(graph, HasSubstr("r3  nightly  running"));
  EXPECT_THAT(graph, HasSubstr("<- one"));
  (void)type_keys(state, data, "t");
  EXPECT_THAT(screen_text(state, data), HasSubstr("* two"));
  EXPECT_THAT(type_keys(state, data, "cy").run, "r3");
  (void)type_keys(state, data, "\x1b");
  EXPECT_TRUE(state.open_run.empty());
  EXPECT_EQ(type_keys(state, data, "q").kind, TopWish::Kind::kQuit);
}

TEST(Top, SaysWhenWhatItShowsIsOld) {
  TopData data = sample_data();
  data.failure = "SERVER_UNREACHABLE: nobody answers";
  data.at_ms = kTopNow - 30'000;
  TopState state;
  EXPECT_THAT(screen_text(state, data), HasSubstr("as of 30s ago; SERVER_UNREACHABLE: nobody answers"));
}

TEST(Top, ControlCharactersOfOthersNeverReachTheTerminal) {
  TopData data = sample_data();
  data.runs[0] = run_row("r3", "running", "evil\x1b]0;title\x07");
  data.failure = "bad\x1b[2J";
  TopState state;
  EXPECT_THAT(screen_text(state, data), Not(HasSubstr("\x1b")));
  EXPECT_THAT(top_snapshot(data, kTopNow), Not(HasSubstr("\x1b")));
}

TEST(Top, TheSnapshotHasEverything) {
  const std::string text = top_snapshot(sample_data(), kTopNow);
  for (const char* part : {"RUN  WORKFLOW", "r2 ", "AGENT  NAME", "orders.new", "anthropic/dear"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(top_snapshot(TopData{}, kTopNow), HasSubstr("No runs"));
}

}  // namespace
}  // namespace ez::cli
