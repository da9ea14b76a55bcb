#include "queue/rabbitmq/registry_log.h"

#include <poll.h>

#include <charconv>
#include <map>
#include <optional>

#include "base/clock.h"
#include "base/random.h"
#include "queue/rabbitmq/names.h"

namespace ez::queue::rabbitmq {
namespace {

constexpr int kLockHeartbeatS = 5;  // the broker ends the lock of a process that has gone silent
constexpr int kLookAgainMs = 20;
// A message that somebody holds who has died comes back within this time.
constexpr std::int64_t kComesBackUs = 3'000'000LL * kLockHeartbeatS;

std::int64_t log_now_us() { return system_clock().monotonic_us(); }

Error locked() { return Error(Code::QueueUnreachable, "another handle holds RabbitMQ's registry"); }

// A connection that holds the lock, and the message with the whole log.
class Holder {
 public:
  explicit Holder(const RabbitOptions& options) : options_(options), names_{options.broker.prefix} {}

  [[nodiscard]] Status open();
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] Status replace(const std::string& text, const std::string& event);
  [[nodiscard]] Status end();

 private:
  [[nodiscard]] Status lock();
  [[nodiscard]] Status load();
  [[nodiscard]] Status write(const std::string& exchange, const std::string& key, const std::string& text);

  const RabbitOptions& options_;
  const Names names_;
  std::unique_ptr<Link> link_;
  std::uint64_t written_ = 0;
  std::optional<std::uint64_t> tag_;  // of the message that is held
  std::string text_;
};

Status Holder::open() {
  EZ_ASSIGN(link_, Link::open(options_, kLockHeartbeatS));
  EZ_TRY(lock());
  EZ_TRY(link_->confirms());
  return load();
}

Status Holder::lock() {
  const std::int64_t end = log_now_us() + options_.broker.request_timeout_ms * 1000;
  while (true) {
    EZ_ASSIGN(const bool mine, link_->lock(names_.registry_lock()));
    if (mine) return {};
    if (log_now_us() > end) return locked();
    ::poll(nullptr, 0, kLookAgainMs);
  }
}

Status Holder::load() {
  const std::string queue = names_.registry();
  EZ_ASSIGN(const bool there, link_->exists(queue));
  if (!there) {
    Table arguments;
    if (options_.quorum) arguments.emplace_back("x-queue-type", std::string("quorum"));
    EZ_TRY(link_->confirms());  // exists() has opened the channel anew
    written_ = 0;
    EZ_TRY(link_->declare_queue(queue, {}, arguments));
    EZ_TRY(write("", queue, registry_text::write({})));
  }
  const std::int64_t end = log_now_us() + kComesBackUs;
  while (true) {
    while (true) {
      EZ_ASSIGN(auto event, link_->get(queue));
      if (!event) break;
      const bool better = !tag_ || registry_text::count(event->content.body) > registry_text::count(text_);
      // Two are left where somebody died between writing the new one and removing the old one.
      if (tag_ && better) EZ_TRY(link_->ack(*tag_, false));
      if (!better) EZ_TRY(link_->ack(event->tag, false));
      if (!better) continue;
      tag_ = event->tag;
      text_ = std::move(event->content.body);
    }
    if (tag_) return {};
    // Nobody else may hold it, so it is on its way back, or was never written.
    if (log_now_us() > end) {
      EZ_TRY(write("", queue, registry_text::write({})));
      continue;
    }
    EZ_ASSIGN(const Event heartbeat, link_->next(kLookAgainMs * 1000));
    (void)heartbeat;
  }
}

Status Holder::write(const std::string& exchange, const std::string& key, const std::string& text) {
  EZ_TRY(link_->publish_text(exchange, key, "registry", text));
  ++written_;
  const std::int64_t end = log_now_us() + options_.broker.request_timeout_ms * 1000;
  while (true) {
    EZ_ASSIGN(const Event event, link_->next(end - log_now_us()));
    if (event.kind == Event::Kind::kConfirm && event.tag >= written_ && !event.refused) return {};
    if (event.refused || log_now_us() >= end) {
      return Error(Code::QueueUnreachable, "RabbitMQ did not confirm in time");
    }
  }
}

Status Holder::replace(const std::string& text, const std::string& event) {
  EZ_TRY(write("", names_.registry(), text));
  EZ_TRY(link_->ack(*tag_, false));
  tag_.reset();
  return write(names_.registry_events(), "", std::to_string(registry_text::count(text)) + "\n" + event);
}

Status Holder::end() {
  if (tag_) EZ_TRY(link_->give_back(*tag_, false));
  // Comes after what was acknowledged or given back.
  return link_->delete_queue(names_.registry_lock());
}

}  // namespace

namespace registry_text {

std::uint64_t count(const std::string& text) {
  std::uint64_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

std::vector<std::string> events(const std::string& text) {
  std::vector<std::string> out;
  const std::uint64_t most = count(text);
  std::size_t at = text.find('\n');
  while (at != std::string::npos && out.size() < most) {
    const std::size_t end = text.find('\n', at + 1);
    if (end == std::string::npos) break;
    const std::string line = text.substr(at + 1, end - at - 1);
    at = end;
    if (!line.starts_with("skip ")) {
      out.push_back(line);
      continue;
    }
    std::uint64_t skipped = 0;
    std::from_chars(line.data() + 5, line.data() + line.size(), skipped);
    out.resize(std::min<std::uint64_t>(most, out.size() + skipped));
  }
  out.resize(most);
  return out;
}

std::string write(const std::vector<std::string>& events) {
  std::string out = std::to_string(events.size()) + "\n";
  std::size_t skipped = 0;
  for (const std::string& event : events) {
    if (event.empty()) {
      ++skipped;
      continue;
    }
    if (skipped > 0) out += "skip " + std::to_string(std::exchange(skipped, 0)) + "\n";
    out += event + "\n";
  }
  if (skipped > 0) out += "skip " + std::to_string(skipped) + "\n";
  return out;
}

void tidy(std::vector<std::string>& events) {
  std::map<std::pair<std::string, std::string>, std::size_t> made;  // pattern, group: where it was made
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto event = broker::read_event(events[i]);
    if (!event || !event->second.starts_with('~')) continue;
    const std::pair<std::string, std::string> name(event->first, event->second);
    if (event->kind == "group") {
      made.emplace(name, i);
    } else if (const auto found = made.find(name); event->kind == "drop" && found != made.end()) {
      events[found->second].clear();
      events[i].clear();
      made.erase(found);
    }
  }
}

}  // namespace registry_text

Result<std::unique_ptr<RegistryLog>> RegistryLog::open(const RabbitOptions& options) {
  std::unique_ptr<RegistryLog> log(new RegistryLog(options));
  const Names names{options.broker.prefix};
  EZ_ASSIGN(log->link_, Link::open(options, 0));
  log->inbox_ = names.registry() + "." + std::to_string(system_random().next());
  EZ_TRY(log->link_->declare_exchange(names.registry_events(), "fanout"));
  EZ_TRY(log->link_->declare_queue(log->inbox_, {false, true}, {}));
  EZ_TRY(log->link_->bind(log->inbox_, names.registry_events(), ""));
  // What is told from now on lies in the inbox; what was before is in the message.
  Holder holder(options);
  EZ_TRY(holder.open());
  log->first_ = registry_text::events(holder.text());
  EZ_TRY(holder.end());
  return log;
}

Result<std::vector<std::string>> RegistryLog::read() {
  std::vector<std::string> out = std::exchange(first_, {});
  seen_ += out.size();
  std::uint64_t last = 0;
  while (true) {
    EZ_ASSIGN(auto event, link_->get(inbox_));
    if (!event) break;
    last = event->tag;
    const std::string& body = event->content.body;
    const std::uint64_t number = registry_text::count(body);
    if (number <= seen_) continue;
    if (number > seen_ + 1)
      return Error(Code::QueueUnreachable, "an event of RabbitMQ's registry was missed");
    seen_ = number;
    out.push_back(body.substr(std::min(body.size(), body.find('\n')) + 1));
  }
  if (last > 0) EZ_TRY(link_->ack(last, true));
  return out;
}

Status RegistryLog::append(const RabbitOptions& options, const std::string& event) {
  Holder holder(options);
  EZ_TRY(holder.open());
  std::vector<std::string> events = registry_text::events(holder.text());
  events.push_back(event);
  registry_text::tidy(events);
  EZ_TRY(holder.replace(registry_text::write(events), event));
  return holder.end();
}

}  // namespace ez::queue::rabbitmq
