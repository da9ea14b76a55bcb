#include "cli/top_view.h"

#include <algorithm>
#include <sstream>

#include "base/utf8.h"
#include "cli/run_picture.h"
#include "cli/text.h"
#include "cli/top_rows.h"
#include "orchestration/graph.h"

namespace ez::cli {
namespace {

constexpr std::size_t kHeadLines = 4;  // figures, tabs, the head of the table
constexpr std::size_t kFootLines = 1;
constexpr std::size_t kLeastWidth = 20;  // for marks and colours
constexpr std::int64_t kStaleMs = 10'000;

std::string painted(const std::string& text, std::string_view look, const FrameLimits& limits) {
  if (!limits.color || text.empty()) return text;
  return "\x1b[" + std::string(look) + "m" + text + "\x1b[0m";
}

constexpr std::string_view kTabNames[] = {"1 Runs", "2 Agents", "3 Queues", "4 Cost"};

std::string tabs_line(const TopState& state, const FrameLimits& limits) {
  std::string line;
  std::size_t used = 0;
  for (std::size_t i = 0; i < kTopTabs; ++i) {
    const bool chosen = state.open_run.empty() && static_cast<std::size_t>(state.tab) == i;
    const std::string name =
        chosen ? "[" + std::string(kTabNames[i]) + "]" : " " + std::string(kTabNames[i]) + " ";
    if (used + name.size() > limits.width) break;
    used += name.size();
    line += painted(name, chosen ? "1;7" : "2", limits);
  }
  if (!state.open_run.empty()) {
    const std::string open = "  [" + state.open_run + (state.open_tasks ? " tasks]" : " graph]");
    if (used + open.size() <= limits.width) line += painted(open, "1", limits);
  }
  return line;
}

const Value* find_run_row(const TopData& data, const std::string& id) {
  for (const Value& run : data.runs) {
    if (run.string_or("id", "") == id) return &run;
  }
  return data.open_run == id && !data.open_view.is_null() ? &data.open_view : nullptr;
}

// The run that a key is about: the open one, or the selected one of the list.
std::string run_at(const TopState& state) {
  if (!state.open_run.empty()) return state.open_run;
  return state.tab == TopTab::kRuns ? state.places[0].id : "";
}

void ask(TopState& state, const TopData& data, const std::string& verb) {
  const std::string id = run_at(state);
  const Value* run = id.empty() ? nullptr : find_run_row(data, id);
  if (run == nullptr) {
    state.message = "Choose a run first.";
    return;
  }
  const std::string_view now = run->string_or("state", "");
  if (is_over(now)) {
    state.message = id + " is over: it " + std::string(now) + ".";
    return;
  }
  const std::string what = verb == "pause" && now == "paused" ? "resume" : verb;
  const std::string name = id + " (" + printable(run->string_or("workflow", "")) + ")";
  std::string text = what == "cancel"  ? "Cancel " + name + "? What runs is stopped."
                     : what == "pause" ? "Pause " + name + "? What runs goes on, nothing more starts."
                                       : "Let " + name + " go on?";
  state.question = TopState::Question{what, id, text + " y/n"};
}

std::vector<std::string> ids_of_rows(const TopData& data, TopTab tab) {
  std::vector<std::string> ids;
  for (const TopTable::Row& row : top_table(data, tab, data.at_ms).rows) ids.push_back(row.id);
  return ids;
}

// Where the selection is now, also when rows came and went.
std::size_t selected_row(const TopState::Place& place, const std::vector<std::string>& ids) {
  const auto found = std::find(ids.begin(), ids.end(), place.id);
  if (found != ids.end()) return static_cast<std::size_t>(found - ids.begin());
  return ids.empty() ? 0 : std::min(place.row, ids.size() - 1);
}

void select(TopState::Place& place, const std::vector<std::string>& ids, std::size_t row) {
  place.row = ids.empty() ? 0 : std::min(row, ids.size() - 1);
  place.id = ids.empty() ? "" : ids[place.row];
}

void move_in_list(TopState& state, const TopData& data, Key key, std::size_t page) {
  TopState::Place& place = state.places[static_cast<std::size_t>(state.tab)];
  const std::vector<std::string> ids = ids_of_rows(data, state.tab);
  const std::size_t row = selected_row(place, ids);
  switch (key) {
    case Key::kUp:
      return select(place, ids, row - std::min<std::size_t>(row, 1));
    case Key::kDown:
      return select(place, ids, row + 1);
    case Key::kPageUp:
      return select(place, ids, row - std::min(row, page));
    case Key::kPageDown:
      return select(place, ids, row + page);
    case Key::kHome:
      return select(place, ids, 0);
    case Key::kEnd:
      return select(place, ids, ids.empty() ? 0 : ids.size() - 1);
    default:
      return;
  }
}

void scroll_open(TopState& state, Key key, std::size_t page) {
  std::size_t& at = state.open_scroll;  // draw_top keeps it inside of what there is
  switch (key) {
    case Key::kUp:
      at -= std::min<std::size_t>(at, 1);
      return;
    case Key::kDown:
      at += 1;
      return;
    case Key::kPageUp:
      at -= std::min(at, page);
      return;
    case Key::kPageDown:
      at += page;
      return;
    case Key::kHome:
      at = 0;
      return;
    case Key::kEnd:
      at = SIZE_MAX / 2;
      return;
    default:
      return;
  }
}

void turn_tab(TopState& state, int by) {
  state.open_run.clear();
  const int now = static_cast<int>(state.tab) + by + static_cast<int>(kTopTabs);
  state.tab = static_cast<TopTab>(now % static_cast<int>(kTopTabs));
}

TopWish press_character(TopState& state, const TopData& data, char c, std::size_t page) {
  switch (c) {
    case 'q':
    case 'Q':
      return {TopWish::Kind::kQuit, "", ""};
    case '?':
    case 'h':
      state.help = true;
      break;
    case '1':
    case '2':
    case '3':
    case '4':
      state.open_run.clear();
      state.tab = static_cast<TopTab>(c - '1');
      break;
    case 'j':
    case 'k':
      return press_key(state, data, {c == 'j' ? Key::kDown : Key::kUp, 0}, page);
    case 'a':
      state.finished = !state.finished;
      state.message = state.finished ? "Finished runs are listed too." : "Only live runs are listed.";
      return {TopWish::Kind::kLook, "", ""};
    case 'r':
      return {TopWish::Kind::kLook, "", ""};
    case 't':
      if (!state.open_run.empty()) state.open_tasks = !state.open_tasks;
      state.open_scroll = 0;
      break;
    case 'p':
      ask(state, data, "pause");
      break;
    case 'c':
      ask(state, data, "cancel");
      break;
    default:
      break;
  }
  return {};
}

std::vector<std::string> help_lines() {
  return {"",
          "  arrows, j k, PgUp PgDn, Home End   move",
          "  1 2 3 4, Tab                       runs, agents, queues, cost",
          "  Enter                              open the chosen run: its graph",
          "  t                                  in a run: graph or tasks",
          "  Esc, Backspace                     back to the list",
          "  p                                  pause the run, or let it go on (asks first)",
          "  c                                  cancel the run (asks first)",
          "  a                                  list finished runs too, or not",
          "  r                                  look now",
          "  q, Ctrl-C                          quit",
          "",
          "  RUN'G tasks that run, FAIL that failed, ASKS that wait for a person.",
          "  Any key closes this."};
}

// The open run: its head and bar, then the graph or the tasks.
std::vector<std::string> open_lines(const TopState& state, const TopData& data, std::int64_t now_ms,
                                    const FrameLimits& limits) {
  if (data.open_run != state.open_run || data.open_view.is_null())
    return {clipped("Looking at " + state.open_run + " …", limits.width)};
  RunPicture picture;
  picture.take_run(data.open_view);
  FrameLimits whole = limits;
  whole.height = SIZE_MAX;
  std::vector<std::string> lines = draw_frame(picture, now_ms, whole);
  if (state.open_tasks || data.open_workflow == nullptr) return lines;
  lines.resize(std::min<std::size_t>(lines.size(), 2));
  orchestration::DrawingLimits drawing;
  drawing.width = std::max<std::size_t>(limits.width, 20);
  drawing.unicode = limits.unicode;
  const auto annotate = [&](const orchestration::Task& task) -> std::string {
    const TaskPicture* found = picture.find(task.id);
    return found == nullptr ? "" : found->state;
  };
  std::istringstream text(orchestration::draw_layers(*data.open_workflow, annotate, drawing));
  for (std::string line; std::getline(text, line);) lines.push_back(clipped(line, limits.width));
  return lines;
}

void add_open(std::vector<std::string>& out, TopState& state, const TopData& data, std::int64_t now_ms,
              const FrameLimits& limits, std::size_t room) {
  const std::vector<std::string> lines = open_lines(state, data, now_ms, limits);
  state.open_scroll = std::min(state.open_scroll, lines.size() - std::min(lines.size(), room));
  for (std::size_t i = state.open_scroll; i < lines.size() && i < state.open_scroll + room; ++i)
    out.push_back(lines[i]);
}

void add_list(std::vector<std::string>& out, TopState& state, const TopData& data, std::int64_t now_ms,
              const FrameLimits& limits, std::size_t room) {
  const TopTable table = top_table(data, state.tab, now_ms);
  const std::size_t width = limits.width > 4 ? limits.width - 4 : limits.width;  // mark and selection
  const std::vector<std::string> lines = table_lines(table, width);
  out.push_back(painted("    " + lines[0], "1", limits));
  if (table.rows.empty()) {
    if (room > 1) out.push_back("    " + clipped(data.at_ms == 0 ? "Looking …" : table.nothing, width));
    return;
  }
  std::vector<std::string> ids;
  for (const TopTable::Row& row : table.rows) ids.push_back(row.id);
  TopState::Place& place = state.places[static_cast<std::size_t>(state.tab)];
  select(place, ids, selected_row(place, ids));
  const std::size_t shown = room > 1 ? room - 1 : 1;
  place.scroll = std::min(place.scroll, place.row);
  if (place.row >= place.scroll + shown) place.scroll = place.row - shown + 1;
  place.scroll = std::min(place.scroll, ids.size() - std::min(ids.size(), shown));
  for (std::size_t i = place.scroll; i < ids.size() && i < place.scroll + shown; ++i) {
    const bool chosen = i == place.row;
    const std::string mark = table.rows[i].state.empty() ? " " : state_mark(table.rows[i].state, limits);
    const std::string text = chosen && limits.color ? padded(lines[i + 1], width) : lines[i + 1];
    out.push_back((chosen ? "> " : "  ") + mark + " " + (chosen ? painted(text, "7", limits) : text));
  }
}

std::string foot_line(const TopState& state, const TopData& data, std::int64_t now_ms,
                      const FrameLimits& limits) {
  if (state.question) return painted(clipped(state.question->text, limits.width), "1;33", limits);
  if (!state.message.empty()) return painted(clipped(printable(state.message), limits.width), "1", limits);
  if (!data.failure.empty()) {
    std::string text = printable(data.failure);
    if (data.at_ms != 0 && now_ms - data.at_ms > kStaleMs)
      text = "as of " + duration_text(now_ms - data.at_ms) + " ago; " + text;
    return painted(clipped(text, limits.width), "31;1", limits);
  }
  const std::string keys = !state.open_run.empty()
                               ? "Esc back  t graph/tasks  p pause/resume  c cancel  ? help  q quit"
                               : "Enter open  p pause/resume  c cancel  a all  Tab next  ? help  q quit";
  return painted(clipped(keys, limits.width), "2", limits);
}

}  // namespace

std::size_t top_page(const FrameLimits& limits) {
  const std::size_t used = kHeadLines + kFootLines;
  return limits.height > used + 1 ? limits.height - used : 1;
}

TopWish press_key(TopState& state, const TopData& data, const KeyPress& key, std::size_t page) {
  state.message.clear();
  if (state.question) {
    const TopState::Question asked = *state.question;
    state.question.reset();
    if (key.key == Key::kCharacter && (key.character == 'y' || key.character == 'Y'))
      return {TopWish::Kind::kControl, asked.verb, asked.run};
    state.message = "Nothing was done.";
    return {};
  }
  if (state.help) {
    state.help = false;
    return {};
  }
  switch (key.key) {
    case Key::kCharacter:
      return press_character(state, data, key.character, page);
    case Key::kTab:
    case Key::kRight:
      turn_tab(state, 1);
      return {};
    case Key::kBackTab:
    case Key::kLeft:
      turn_tab(state, -1);
      return {};
    case Key::kEscape:
    case Key::kBackspace:
      state.open_run.clear();
      return {};
    case Key::kEnter:
      if (!state.open_run.empty() || run_at(state).empty()) return {};
      state.open_run = run_at(state);
      state.open_scroll = 0;
      return {TopWish::Kind::kLook, "", ""};
    case Key::kUnknown:
      return {};
    default:
      if (state.open_run.empty()) {
        move_in_list(state, data, key.key, page);
      } else {
        scroll_open(state, key.key, page);
      }
      return {};
  }
}

std::vector<std::string> draw_top(TopState& state, const TopData& data, std::int64_t now_ms,
                                  const FrameLimits& given) {
  FrameLimits limits = given;
  const bool narrow = limits.width < kLeastWidth;
  if (narrow) limits.color = false;  // lines are cut as they are, so there may be nothing but text in them
  std::vector<std::string> out;
  const std::vector<std::string> figures = top_figures(data, now_ms);
  out.push_back(painted(clipped(figures[0], limits.width), "1", limits));
  out.push_back(clipped(figures[1], limits.width));
  out.push_back(tabs_line(state, limits));
  const std::size_t room = limits.height > 4 ? limits.height - 4 : 0;
  if (state.help) {
    for (const std::string& line : help_lines()) {
      if (out.size() < 3 + room) out.push_back(clipped(line, limits.width));
    }
  } else if (room > 0 && !state.open_run.empty()) {
    add_open(out, state, data, now_ms, limits, room);
  } else if (room > 0) {
    add_list(out, state, data, now_ms, limits, room);
  }
  const std::size_t body = limits.height > 0 ? limits.height - 1 : 0;
  out.resize(body);
  if (limits.height > 0) out.push_back(foot_line(state, data, now_ms, limits));
  for (std::string& line : out) {
    if (narrow) line = clipped(line, limits.width);
  }
  return out;
}

std::string top_snapshot(const TopData& data, std::int64_t now_ms) {
  constexpr std::size_t kAnyWidth = 10'000;
  std::string out;
  for (const std::string& line : top_figures(data, now_ms)) out += line + "\n";
  for (std::size_t i = 0; i < kTopTabs; ++i) {
    const TopTable table = top_table(data, static_cast<TopTab>(i), now_ms);
    out += "\n";
    if (table.rows.empty()) {
      out += table.nothing + "\n";
      continue;
    }
    for (const std::string& line : table_lines(table, kAnyWidth)) out += line + "\n";
  }
  return out;
}

}  // namespace ez::cli
