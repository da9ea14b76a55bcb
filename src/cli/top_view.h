// `ez top`: what it knows, what a key does, and how it looks. Pure: the same values give the same lines.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "cli/frame.h"
#include "cli/keys.h"
#include "orchestration/definition.h"

namespace ez::cli {

inline constexpr std::size_t kTopRows = 500;  // of each list: the newest runs, the first of the others

// What the server said last. Lists are as the API gives them.
struct TopData {
  std::string server;
  std::int64_t at_ms = 0;  // when it was asked; 0: not yet
  std::string failure;     // why the last look failed; the rest is then older
  Value status;
  Value::List runs;
  Value::List agents;
  Value::List topics;
  Value::List namespaces;
  Value costs;
  // Of the run that is open:
  std::string open_run;
  Value open_view;  // null: not there yet
  std::shared_ptr<const orchestration::Workflow> open_workflow;
};

enum class TopTab : std::uint8_t { kRuns, kAgents, kQueues, kCost };
inline constexpr std::size_t kTopTabs = 4;

// Where the person is.
struct TopState {
  struct Place {
    std::string id;          // of the selected row
    std::size_t row = 0;     // where it was last
    std::size_t scroll = 0;  // the first row that is shown
  };
  struct Question {
    std::string verb;  // cancel, pause, resume
    std::string run;
    std::string text;
  };
  TopTab tab = TopTab::kRuns;
  std::array<Place, kTopTabs> places;
  bool finished = false;    // finished runs are listed too
  std::string open_run;     // empty: a list is shown
  bool open_tasks = false;  // its tasks one by one, instead of the graph
  std::size_t open_scroll = 0;
  bool help = false;
  std::optional<Question> question;
  std::string message;  // in the last line until the next key
};

// What a key asks for beyond the state.
struct TopWish {
  enum class Kind : std::uint8_t { kNothing, kQuit, kLook, kControl };
  Kind kind = Kind::kNothing;
  std::string verb;  // of kControl
  std::string run;
};

// `page`: rows that the list shows, for page up and down.
[[nodiscard]] TopWish press_key(TopState& state, const TopData& data, const KeyPress& key, std::size_t page);

// The rows that the list (or the open run) has in a terminal of that height.
[[nodiscard]] std::size_t top_page(const FrameLimits& limits);

// Exactly limits.height lines. Moves the selection and the scrolling into what there is.
[[nodiscard]] std::vector<std::string> draw_top(TopState& state, const TopData& data, std::int64_t now_ms,
                                                const FrameLimits& limits);

// All of it as plain text, for pipes and files.
[[nodiscard]] std::string top_snapshot(const TopData& data, std::int64_t now_ms);

}  // namespace ez::cli
