#include <poll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <compare>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "queue/rabbitmq/names.h"

namespace ez::queue::rabbitmq {
namespace {

using broker::kLanes;
using broker::TopicQueue;

constexpr int kHeartbeatS = 20;
// How long the broker may take to begin to deliver from a lane: so long the first fetch waits for more urgent
// messages than those that are there.
constexpr std::int64_t kSettleUs = 50'000;
constexpr std::int64_t kExpectUs = 20'000;
constexpr std::int64_t kQuietUs = 1'000;
constexpr std::int64_t kProbeMs = 1'000;
// How often it looks for queues that are not there yet: more and more seldom.
constexpr std::int64_t kFirstLookUs = 20'000;
constexpr std::int64_t kLastLookUs = 1'000'000;
constexpr std::int64_t kNever = INT64_MAX;

std::int64_t now_us() { return system_clock().monotonic_us(); }

class RabbitRead final : public broker::ReadSession {
 public:
  explicit RabbitRead(const RabbitOptions& options) : options_(options), names_{options.broker.prefix} {}

  [[nodiscard]] Status open() {
    EZ_ASSIGN(link_, Link::open(options_, kHeartbeatS));
    EZ_TRY(link_->declare_exchange(names_.exchange(), "direct"));
    EZ_TRY(link_->prefetch(options_.prefetch));
    heard_us_ = now_us();
    return {};
  }
  Status set_sources(const std::vector<TopicQueue>& sources) override;
  Result<Fetched> fetch(std::size_t want) override;
  Result<std::vector<bool>> settle(const std::vector<Settled>& done) override;
  Status wait(int wake_fd, std::chrono::milliseconds time) override;
  void leave() override { link_.reset(); }  // the broker gives everything back when the connection ends
  bool pushed() const override { return !early_.empty(); }
  bool hot() const override;
  bool expect_more() override {
    expecting_ = true;
    return true;
  }
  std::vector<LostLane> take_lost() override { return std::exchange(lost_, {}); }
  std::vector<TopicQueue> take_lacking() override { return std::exchange(lacking_, {}); }

 private:
  enum class State : std::uint8_t { kWaiting, kBegun, kGone };  // waiting: until its queue is there
  struct Lane {
    std::uint32_t source = 0;
    std::uint8_t lane = 0;
    auto operator<=>(const Lane&) const = default;
  };
  struct Source {
    TopicQueue queue;
    State state = State::kWaiting;
    std::array<std::uint64_t, kLanes> consumers{};  // their names at the broker are numbers; 0: not begun
  };
  [[nodiscard]] Status begin_waiting();
  [[nodiscard]] bool time_to_look() const;
  [[nodiscard]] Result<bool> is_there(Link& asking, const Source& source) const;
  [[nodiscard]] Status begin(std::uint32_t index);
  [[nodiscard]] Status leave_topic(std::uint32_t index);
  [[nodiscard]] Status lose(Lane lane, Fetched& out);
  [[nodiscard]] Status give_back(Lane lane);
  void put(Event event, Fetched& out);

  const RabbitOptions options_;
  const Names names_;
  std::unique_ptr<Link> link_;
  std::vector<Source> sources_;
  std::map<std::uint64_t, Lane> begun_;  // by the numbers of their consumers
  std::uint64_t last_number_ = 0;
  const std::uint64_t random_ = system_random().next();  // of this connection
  std::map<std::uint64_t, Lane> open_;                   // tags that are delivered and not settled
  std::vector<std::uint64_t> unwanted_;  // tags that no source wants any more; given back at once
  std::set<Lane> cancelled_;             // their queue was deleted, or its node has gone
  std::vector<LostLane> lost_;
  std::vector<TopicQueue> lacking_;
  std::int64_t next_look_us_ = kNever;  // for those that wait
  std::int64_t look_pause_us_ = 0;
  std::int64_t settled_us_ = 0;  // until then the lanes begin to deliver
  std::int64_t heard_us_ = 0;
  bool expecting_ = false;
  std::vector<Event> early_;  // came while nobody asked; bounded by the prefetch
};

Status RabbitRead::set_sources(const std::vector<TopicQueue>& sources) {
  bool left = false;
  for (std::uint32_t i = 0; i < sources.size(); ++i) {
    if (i == sources_.size()) {
      sources_.push_back({sources[i], sources[i].topic.empty() ? State::kGone : State::kWaiting});
    } else if (sources[i].topic.empty() && sources_[i].state != State::kGone) {
      EZ_TRY(leave_topic(i));
      left = true;
    }
  }
  if (!left) return begin_waiting();
  // One of them may come back at once: not before what was sent from it has gone back.
  next_look_us_ = now_us();
  return {};
}

bool RabbitRead::time_to_look() const {
  return now_us() >= next_look_us_ && early_.empty() && !link_->buffered();
}

// A reader hears of a topic before its queues are made, and they can go. It waits for them and says that they
// are lacking, but does not make them: only who reads the registry knows whether they should be there.
Status RabbitRead::begin_waiting() {
  // A question for what is not there ends its channel.
  std::unique_ptr<Link> asking;
  bool left = false;
  for (std::uint32_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].state != State::kWaiting) continue;
    if (!asking) {
      EZ_ASSIGN(asking, Link::open(options_, 0));
    }
    auto there = is_there(*asking, sources_[i]);
    // One whose node is away must not keep the others from being read.
    if (!there.ok() && !asking->reopen_channel().ok()) asking.reset();
    if (there.ok() && *there) {
      EZ_TRY(begin(i));
      continue;
    }
    left = true;
    if (there.ok()) lacking_.push_back(sources_[i].queue);
  }
  look_pause_us_ = left ? std::clamp<std::int64_t>(look_pause_us_ * 2, kFirstLookUs, kLastLookUs) : 0;
  next_look_us_ = left ? now_us() + look_pause_us_ : kNever;
  return {};
}

Result<bool> RabbitRead::is_there(Link& asking, const Source& source) const {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (source.consumers[static_cast<std::size_t>(lane)] != 0) continue;
    EZ_ASSIGN(const bool there, asking.exists(names_.lane(source.queue, lane)));
    if (!there) return false;
  }
  return true;
}

Status RabbitRead::begin(std::uint32_t index) {
  Source& source = sources_[index];
  for (std::uint8_t lane = 0; lane < kLanes; ++lane) {
    if (source.consumers[lane] != 0) continue;
    const std::uint64_t number = ++last_number_;
    const Status begun = link_->consume(names_.lane(source.queue, lane), std::to_string(number), {});
    if (begun.ok()) {
      source.consumers[lane] = number;
      begun_[number] = {index, lane};
      continue;
    }
    // It went in this moment, and the channel with it: a new session waits for it.
    return begun.error().code() == Code::TopicNotFound
               ? Error(Code::QueueUnreachable, begun.error().message())
               : begun.error();
  }
  source.state = State::kBegun;
  settled_us_ = now_us() + kSettleUs;
  return {};
}

// What was sent and is not settled goes back to its queue.
Status RabbitRead::give_back(Lane lane) {
  for (auto one = open_.begin(); one != open_.end();) {
    if (one->second != lane) {
      ++one;
      continue;
    }
    EZ_TRY(link_->give_back(one->first, false));
    one = open_.erase(one);
  }
  return {};
}

// It is left to others; what was sent is theirs.
Status RabbitRead::leave_topic(std::uint32_t index) {
  Source& source = sources_[index];
  source.state = State::kGone;
  for (std::uint8_t lane = 0; lane < kLanes; ++lane) {
    std::uint64_t& number = source.consumers[lane];
    if (number == 0) continue;
    EZ_TRY(link_->cancel(std::to_string(number)));
    begun_.erase(number);
    number = 0;
    EZ_TRY(give_back({index, lane}));
  }
  return {};
}

// The broker has ended this consumer. The other lanes of its topic are read on.
Status RabbitRead::lose(Lane lane, Fetched& out) {
  Source& source = sources_[lane.source];
  std::uint64_t& number = source.consumers[lane.lane];
  if (number == 0) return {};
  begun_.erase(number);
  number = 0;
  source.state = State::kWaiting;
  std::erase_if(out.entries, [&](const broker::Entry& entry) {
    return entry.place.source == lane.source && entry.place.lane == lane.lane;
  });
  lost_.push_back({lane.source, lane.lane});
  next_look_us_ = now_us() + kFirstLookUs;
  return give_back(lane);
}

void RabbitRead::put(Event event, Fetched& out) {
  if (event.kind != Event::Kind::kDelivery && event.kind != Event::Kind::kCancelled) return;
  std::uint64_t number = 0;
  const char* const end = event.consumer.data() + event.consumer.size();
  const auto read = std::from_chars(event.consumer.data(), end, number);
  const auto begun = read.ec == std::errc() && read.ptr == end ? begun_.find(number) : begun_.end();
  if (begun == begun_.end()) {
    if (event.kind == Event::Kind::kDelivery) unwanted_.push_back(event.tag);
    return;
  }
  const Lane lane = begun->second;
  if (event.kind == Event::Kind::kCancelled) {
    cancelled_.insert(lane);
    return;
  }
  open_.emplace(event.tag, lane);
  broker::Entry entry = read_message(std::move(event.content), sources_[lane.source].queue.topic);
  // Tags begin again with each connection, and an id that was seen before is dropped as a repetition.
  if (entry.message.id.empty()) {
    entry.message.id = "nameless-" + std::to_string(random_) + "-" + std::to_string(event.tag);
  }
  entry.place = {lane.source, lane.lane, event.tag, 0};
  out.entries.push_back(std::move(entry));
}

Result<broker::ReadSession::Fetched> RabbitRead::fetch(std::size_t want) {
  if (time_to_look()) EZ_TRY(begin_waiting());
  Fetched out;
  for (Event& event : early_) put(std::move(event), out);
  early_.clear();
  if (std::exchange(expecting_, false)) {
    // What was sent before the answer comes before it.
    EZ_TRY(link_->prefetch(options_.prefetch));
    settled_us_ = std::max(settled_us_, now_us() + kExpectUs);
  }
  // Until the lanes have begun, the most urgent message may not be the first one.
  while (out.entries.size() < want || now_us() < settled_us_) {
    const std::int64_t now = now_us();
    const std::int64_t patience =
        std::max(settled_us_ - now, link_->buffered() || out.entries.empty() ? 0 : kQuietUs);
    EZ_ASSIGN(Event event, link_->next(patience));
    if (event.kind == Event::Kind::kNone && now_us() >= settled_us_) break;
    put(std::move(event), out);
  }
  for (const Lane lane : std::exchange(cancelled_, {})) EZ_TRY(lose(lane, out));
  for (const std::uint64_t tag : std::exchange(unwanted_, {})) EZ_TRY(link_->give_back(tag, false));
  heard_us_ = now_us();
  return out;
}

Result<std::vector<bool>> RabbitRead::settle(const std::vector<Settled>& done) {
  std::set<std::uint64_t> tags;
  for (const Settled& one : done) tags.insert(one.place.a);
  // One acknowledgement for all up to the first tag that stays open.
  std::uint64_t up_to = 0;
  auto open = open_.begin();
  while (open != open_.end() && tags.contains(open->first)) {
    up_to = open->first;
    open = open_.erase(open);
  }
  if (up_to > 0) EZ_TRY(link_->ack(up_to, true));
  for (auto tag = tags.upper_bound(up_to); tag != tags.end(); ++tag) {
    EZ_TRY(link_->ack(*tag, false));
    open_.erase(*tag);
  }
  // An acknowledgement has no answer of its own: this one comes after it.
  EZ_TRY(link_->prefetch(options_.prefetch));
  heard_us_ = now_us();
  return std::vector<bool>(done.size(), true);
}

bool RabbitRead::hot() const {
  if (expecting_ || !early_.empty() || link_->buffered() || now_us() < settled_us_) return true;
  pollfd wanted{link_->descriptor(), POLLIN, 0};
  return ::poll(&wanted, 1, 0) > 0;
}

Status RabbitRead::wait(int wake_fd, std::chrono::milliseconds time) {
  if (time_to_look()) EZ_TRY(begin_waiting());
  if (!link_->buffered()) {
    pollfd wanted[] = {{wake_fd, POLLIN, 0}, {link_->descriptor(), POLLIN, 0}};
    std::int64_t most_ms = std::clamp<std::int64_t>(time.count(), 0, kProbeMs);
    if (next_look_us_ != kNever) {
      most_ms = std::clamp<std::int64_t>((next_look_us_ - now_us()) / 1000 + 1, 0, most_ms);
    }
    const auto most = static_cast<int>(most_ms);
    ::poll(wanted, 2, most);
  }
  // Takes in heartbeats; what else comes is kept: the broker sends at most the prefetch of each lane.
  EZ_ASSIGN(Event event, link_->next(0));
  if (event.kind != Event::Kind::kNone) early_.push_back(std::move(event));
  // A connection can be dead without a sign.
  if (now_us() - heard_us_ < kProbeMs * 1000) return {};
  EZ_TRY(link_->prefetch(options_.prefetch));
  heard_us_ = now_us();
  return {};
}

}  // namespace

Result<std::unique_ptr<broker::ReadSession>> open_read(const RabbitOptions& options) {
  auto session = std::make_unique<RabbitRead>(options);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ReadSession>(std::move(session));
}

}  // namespace ez::queue::rabbitmq
