#include "http/api/context.h"

#include <charconv>

#include "base/json.h"

namespace ez::http::api {
namespace {

constexpr std::size_t kScannedAtOnce =
    5'000;  // runs that the loop looks at in one turn; well below a millisecond

struct LiveScan {
  Context& context;
  RunId before;
  std::size_t limit;
  std::function<bool(const core::Run&)> matches;
  std::function<void(std::vector<Cow<core::Run>>)> done;
  std::vector<Cow<core::Run>> found;

  // True when everything was looked at or enough was found.
  bool step(const core::State& state) {
    std::size_t examined = 0;
    const std::uint64_t newest = before.valid() ? before.value - 1 : UINT64_MAX;
    auto page = state.pages.upper_bound(newest / core::RunPage::kRuns);
    while (page != state.pages.begin()) {
      --page;
      for (std::uint64_t i = core::RunPage::kRuns; i-- > 0;) {
        const Cow<core::Run>& run = page->second->runs[i];
        if (!run || run->id.value > newest) continue;
        ++examined;
        if (matches(*run)) found.push_back(run);
        if (found.size() >= limit) return true;
      }
      before = RunId{page->first * core::RunPage::kRuns};
      if (before.value == 0) return true;
      if (examined >= kScannedAtOnce) return false;
    }
    return true;
  }
};

void scan_on(const std::shared_ptr<LiveScan>& scan) {
  scan->context.services.engine.read([scan](const core::State& state) {
    if (scan->step(state)) return scan->done(std::move(scan->found));
    scan_on(scan);
  });
}

}  // namespace

void OpenLogs::opened(const storage::AttemptId& id) {
  std::lock_guard lock(mutex_);
  logs_.insert(id);
  if (logs_.size() > kOpenLogs) logs_.erase(logs_.begin());
}

bool OpenLogs::take(const storage::AttemptId& id) {
  std::lock_guard lock(mutex_);
  return logs_.erase(id) > 0;
}

Deferred::Deferred(Context& context, const Request& request, Responder responder)
    : context_(context), responder_(std::move(responder)), principal_(request.principal) {}

Deferred::~Deferred() {
  if (responder_.completed()) return;
  const std::optional<Error> failure = context_.services.engine.failure();
  responder_.problem(failure ? *failure : Error(Code::ShuttingDown, "the server is stopping"));
}

bool Deferred::json(int status, const Value& value) { return responder_.json(status, to_json(value)); }

bool Deferred::list(const Value::List& items, const std::string& next_cursor) {
  std::string out = "{\"items\":[";
  for (const Value& item : items) {
    if (out.back() != '[') out.push_back(',');
    append_json(out, item);
  }
  out += "],\"next_cursor\":";
  if (next_cursor.empty()) {
    out += "null";
  } else {
    append_json_string(out, next_cursor);
  }
  out += "}";
  return responder_.json(200, std::move(out));
}

Status Deferred::permit(security::Permission permission, std::string_view name_space) const {
  const security::Decision decision = security::decide(*principal_, permission, name_space);
  if (decision.allowed) return {};
  return Error(Code::PermissionDenied, decision.reason);
}

Status Deferred::permit_role(security::Role role, std::string_view name_space) const {
  const security::Decision decision = security::decide_role(*principal_, role, name_space);
  if (decision.allowed) return {};
  return Error(Code::PermissionDenied, decision.reason);
}

Handler handler(Context& context, Endpoint endpoint) {
  return [&context, endpoint = std::move(endpoint)](Request& request, Responder responder) {
    const auto answer = std::make_shared<Deferred>(context, request, std::move(responder));
    if (const Status status = endpoint(request, answer); !status.ok()) answer->problem(status.error());
  };
}

void add_route(Router& router, Context& context, Method method, std::string_view pattern,
               security::Permission permission, std::string_view summary, EndpointFunction endpoint,
               std::uint64_t body_limit, BodyMode body_mode) {
  Route route;
  route.method = method;
  route.pattern = pattern;
  route.permission = permission;
  route.summary = summary;
  route.body_limit = body_limit;
  route.body_mode = body_mode;
  route.handler = handler(context, [&context, endpoint](Request& request, const DeferredPtr& answer) {
    return endpoint(context, request, answer);
  });
  router.add(std::move(route));
}

Result<RunId> run_of(const Request& request) {
  const std::string& text = request.parameter("run");
  if (const auto id = parse_run_id(text)) return *id;
  return Error(Code::RunNotFound, "'" + text.substr(0, 64) + "' is not the id of a run; they look like r12");
}

Result<AgentId> agent_of(const Request& request) {
  const std::string& text = request.parameter("agent");
  if (const auto id = parse_agent_id(text)) return *id;
  return Error(Code::AgentNotFound,
               "'" + text.substr(0, 64) + "' is not the id of an agent; they look like a7");
}

Result<std::uint32_t> attempt_of(const Request& request) {
  const std::string& text = request.parameter("attempt");
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number > 0) return number;
  return Error(Code::AttemptNotFound,
               "'" + text.substr(0, 64) + "' is not the number of an attempt; the first is 1");
}

Error overloaded(std::string_view what) { return Error(Code::Overloaded, std::string(what)); }

void render(Context& context, const DeferredPtr& answer, std::function<void()> task) {
  if (!context.renders.post(std::move(task)))
    answer->problem(overloaded("too many answers wait to be written"));
}

void transfer(Context& context, const DeferredPtr& answer, std::function<void()> task) {
  if (!context.transfers.post(std::move(task)))
    answer->problem(overloaded("too many requests wait for the disk"));
}

void with_run(Context& context, const DeferredPtr& answer, RunId run, security::Permission permission,
              std::function<void(const Cow<core::Run>&)> found) {
  context.services.engine.find_run(run, [&context, answer, permission, found](Result<Cow<core::Run>> result) {
    if (!result.ok()) {
      answer->problem(result.error());
      return;
    }
    Cow<core::Run> held = std::move(result).value();
    if (const Status status = answer->permit(permission, held->workflow->namespace_name); !status.ok()) {
      answer->problem(status.error());
      return;
    }
    render(context, answer, [found, held] { found(held); });
  });
}

void propose(Context& context, const DeferredPtr& answer, core::pb::Command command,
             std::function<void(const core::Reply&)> done) {
  context.services.engine.propose(std::move(command), [answer, done](Result<core::Reply> reply) {
    if (!reply.ok()) {
      answer->problem(reply.error());
    } else if (reply->error) {
      answer->problem(*reply->error);
    } else {
      done(*reply);
    }
  });
}

std::string make_cursor(char list, std::initializer_list<std::uint64_t> numbers) {
  std::string out(1, list);
  for (const std::uint64_t number : numbers) {
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof digits, number, 16).ptr;
    if (out.size() > 1) out.push_back('-');
    out.append(digits, end);
  }
  return out;
}

Result<std::vector<std::uint64_t>> read_cursor(char list, const Request& request, std::size_t count) {
  std::vector<std::uint64_t> numbers;
  const std::string* text = request.query.find("cursor");
  if (text == nullptr || text->empty()) return numbers;
  const Error wrong(Code::RequestInvalid, "cursor: this is no cursor of this list",
                    "Leave it out for the first page, or give next_cursor of the page before.");
  if (text->front() != list) return wrong;
  const char* at = text->data() + 1;
  const char* const end = text->data() + text->size();
  while (true) {
    std::uint64_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number, 16);
    if (error != std::errc()) return wrong;
    numbers.push_back(number);
    if (next == end) break;
    if (*next != '-') return wrong;
    at = next + 1;
  }
  if (numbers.size() != count) return wrong;
  return numbers;
}

Result<std::size_t> list_limit(const Request& request) {
  EZ_ASSIGN(const std::int64_t limit, request.query.number("limit", kDefaultListLimit, 1, kMaxListItems));
  return static_cast<std::size_t>(limit);
}

void scan_live(Context& context, RunId before, std::size_t limit,
               std::function<bool(const core::Run&)> matches,
               std::function<void(std::vector<Cow<core::Run>>)> done) {
  scan_on(
      std::make_shared<LiveScan>(LiveScan{context, before, limit, std::move(matches), std::move(done), {}}));
}

}  // namespace ez::http::api
