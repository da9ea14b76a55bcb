// Following a run until it is over: live on a terminal, as lines elsewhere.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/session.h"

namespace ez::cli {

struct FollowChoice {
  enum class Show { kLive, kLines, kNothing };
  Show show = Show::kLines;
  bool approve = false;  // answers approvals with yes (not conflicts and paused tasks), and says so
};

struct Followed {
  bool interrupted = false;  // a signal came; the run goes on
  std::string state;         // of the run at the end
};

// Live when standard output is a terminal, unless --plain, NO_COLOR or --json say otherwise.
[[nodiscard]] FollowChoice follow_choice(const Arguments& arguments);

// Returns when the run is over or a signal came. Prints the summary at the end (or, with kNothing, the run's
// view as JSON). Two threads of its own while it lasts: one reads events, one fetches what events leave out.
[[nodiscard]] Result<Followed> follow_run(Session& session, Api& api, const std::string& run,
                                          const FollowChoice& choice);

}  // namespace ez::cli
