#include <poll.h>

#include <algorithm>
#include <charconv>
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
constexpr std::int64_t kHearUs = 1'000'000;  // several ticks of the registry

std::int64_t now_us() { return system_clock().monotonic_us(); }

class RabbitRead final : public broker::ReadSession {
 public:
  RabbitRead(const RabbitOptions& options, bool broadcast)
      : options_(options), names_{options.broker.prefix}, broadcast_(broadcast) {}

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

 private:
  [[nodiscard]] Status make_missing(const TopicQueue& source, std::unique_ptr<Link>& asking);
  [[nodiscard]] Status leave_source(std::uint32_t number);
  [[nodiscard]] Status check_cancelled() const;
  void put(Event event, Fetched& out);

  const RabbitOptions options_;
  const Names names_;
  const bool broadcast_;
  std::unique_ptr<Link> link_;
  std::vector<TopicQueue> sources_;
  const std::uint64_t number_ = system_random().next();  // of this connection
  // Tags that are delivered and not settled, and of which source.
  std::map<std::uint64_t, std::uint32_t> open_;
  std::vector<std::uint64_t> unwanted_;  // tags of sources that are gone; given back by the next fetch
  std::int64_t settled_us_ = 0;          // until then the lanes begin to deliver
  std::int64_t heard_us_ = 0;
  bool expecting_ = false;
  std::map<std::uint32_t, std::int64_t> cancelled_;  // sources whose queues were deleted, and when
  std::vector<Event> early_;                         // came while nobody asked; bounded by the prefetch
};

// A reader may hear of a topic before its queues are made, or their maker may have died. Over a link of its
// own: a question for what is not there ends the channel.
Status RabbitRead::make_missing(const TopicQueue& source, std::unique_ptr<Link>& asking) {
  if (!asking) {
    EZ_ASSIGN(asking, Link::open(options_, 0));
  }
  // Of the lanes the last one is made last.
  EZ_ASSIGN(const bool there, asking->exists(names_.lane(source, kLanes - 1)));
  return there ? Status{} : declare_lanes(*asking, options_, source, broadcast_);
}

Status RabbitRead::set_sources(const std::vector<TopicQueue>& sources) {
  std::unique_ptr<Link> asking;
  for (std::uint32_t i = 0; i < sources.size(); ++i) {
    if (i < sources_.size()) {
      if (sources[i].topic.empty() && !sources_[i].topic.empty()) EZ_TRY(leave_source(i));
      continue;
    }
    sources_.push_back(sources[i]);
    if (sources[i].topic.empty()) continue;
    EZ_TRY(make_missing(sources[i], asking));
    for (int lane = 0; lane < kLanes; ++lane) {
      const Status begun =
          link_->consume(names_.lane(sources[i], lane), std::to_string(i) + "." + std::to_string(lane), {});
      if (begun.ok()) continue;
      if (begun.error().code() != Code::TopicNotFound) return begun;
      // One of them alone was deleted. The channel has ended with that: a new session begins with all.
      EZ_TRY(declare_lanes(*asking, options_, sources[i], broadcast_));
      return Error(Code::QueueUnreachable, begun.error().message());
    }
    settled_us_ = now_us() + kSettleUs;
  }
  return {};
}

// Its queue may live on, for others: what was sent from it is theirs.
Status RabbitRead::leave_source(std::uint32_t number) {
  sources_[number].topic.clear();
  for (int lane = 0; lane < kLanes; ++lane) {
    EZ_TRY(link_->cancel(std::to_string(number) + "." + std::to_string(lane)));
  }
  for (auto one = open_.begin(); one != open_.end();) {
    if (one->second != number) {
      ++one;
      continue;
    }
    EZ_TRY(link_->give_back(one->first, false));
    one = open_.erase(one);
  }
  return {};
}

void RabbitRead::put(Event event, Fetched& out) {
  if (event.kind != Event::Kind::kDelivery && event.kind != Event::Kind::kCancelled) return;
  // "SOURCE.LANE"
  std::uint32_t source = 0;
  const char* begin = event.consumer.data();
  const char* end = begin + event.consumer.size();
  const auto read = std::from_chars(begin, end, source);
  if (read.ec != std::errc() || read.ptr + 2 != end || source >= sources_.size()) return;
  if (event.kind == Event::Kind::kCancelled) {
    // Its queue was deleted: with its group, or it has to be made again.
    cancelled_.emplace(source, now_us());
    if (std::ranges::find(out.gone, source) == out.gone.end()) out.gone.push_back(source);
    return;
  }
  if (sources_[source].topic.empty()) {
    unwanted_.push_back(event.tag);
    return;
  }
  open_.emplace(event.tag, source);
  broker::Entry entry = read_message(std::move(event.content), sources_[source].topic);
  // Tags begin again with each connection, and an id that was seen before is dropped as a repetition.
  if (entry.message.id.empty()) {
    entry.message.id = "nameless-" + std::to_string(number_) + "-" + std::to_string(event.tag);
  }
  entry.place = {source, static_cast<std::uint8_t>(read.ptr[1] - '0'), event.tag, 0};
  if (entry.place.lane < kLanes) out.entries.push_back(std::move(entry));
}

// A group that was dropped is heard of within a moment. What is still to be read then is read by a new
// session.
Status RabbitRead::check_cancelled() const {
  for (const auto& [source, at_us] : cancelled_) {
    if (sources_[source].topic.empty() || now_us() - at_us < kHearUs) continue;
    return Error(Code::QueueUnreachable, "a queue of the topic " + sources_[source].topic + " was deleted");
  }
  return {};
}

Result<broker::ReadSession::Fetched> RabbitRead::fetch(std::size_t want) {
  EZ_TRY(check_cancelled());
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
  EZ_TRY(check_cancelled());
  if (!link_->buffered()) {
    pollfd wanted[] = {{wake_fd, POLLIN, 0}, {link_->descriptor(), POLLIN, 0}};
    const auto most = static_cast<int>(std::clamp<std::int64_t>(time.count(), 0, kProbeMs));
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

Result<std::unique_ptr<broker::ReadSession>> open_read(const RabbitOptions& options, bool broadcast) {
  auto session = std::make_unique<RabbitRead>(options, broadcast);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ReadSession>(std::move(session));
}

}  // namespace ez::queue::rabbitmq
