// A migration: copying, and looking whether the copies are what they should be.
#include <algorithm>
#include <thread>

#include "base/clock.h"
#include "queue/manager/inlet.h"
#include "queue/manager/migration.h"

namespace ez::queue {
namespace {

constexpr std::size_t kCopyBatch = 500;
constexpr std::size_t kCopyBytes = 4U << 20;
constexpr int kCopyTries = 20;
constexpr std::int64_t kCopyPauseMs = 500;
constexpr int kVerifyTries = 5;
constexpr std::int64_t kVerifyPauseMs = 1'000;

}  // namespace

bool Migration::pause(std::int64_t ms) const {
  const std::int64_t end = system_clock().monotonic_us() + ms * 1000;
  while (!stop_ && system_clock().monotonic_us() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return !stop_;
}

// What a message is to this migration. Of the embedded queue, the log's own messages are what is copied, and
// at the target its copies are what is looked for.
Copy Migration::seen(Lying lying, bool at_source, const MigrationRequest& request) const {
  const std::int64_t now_ms = system_clock().now_ms();
  if (request.from != kEmbedded) return copy_of(std::move(lying), host_.journal(), now_ms);
  if (at_source) {
    const std::string mark = lying.mark;
    Copy out = copy_of(std::move(lying), "", now_ms);
    if (out.kind == Copy::Kind::kMove) {
      out.message.headers.emplace_back(kJournalHeader, host_.journal() + "/" + mark);
    }
    return out;
  }
  Place place;
  bool stranger = false;
  const bool own = read_journal_mark(lying.message, host_.journal(), place, stranger);
  Copy out = copy_of(std::move(lying), "", now_ms);
  if (!own && out.kind == Copy::Kind::kMove) out.kind = Copy::Kind::kRefused;
  return out;
}

void Migration::publish_figures(const TopicWork& work) {
  std::lock_guard lock(mutex_);
  for (MigratedTopic& one : view_.topics) {
    if (one.topic != work.figures.topic) continue;
    one = work.figures;
    return;
  }
  if (work.figures.messages + work.figures.own + work.figures.expired + work.figures.refused +
          work.figures.removed + work.figures.left >
      0) {
    view_.topics.push_back(work.figures);
  }
}

// By digest, what the target has of the topic; whether it waits for its time.
Result<std::unordered_map<Digest, bool, DigestHash>> Migration::at_target(const MigrationRequest& request,
                                                                          const std::string& topic) {
  std::unordered_map<Digest, bool, DigestHash> out;
  if (request.to == kEmbedded) return out;  // the log knows its ids
  const Status looked =
      host_.bus_named(request.to)->inventory()->look(topic, false, [&](Lying& lying) -> Result<bool> {
        EZ_TRY(stopped());
        const Copy copy = seen(std::move(lying), false, request);
        if (copy.kind == Copy::Kind::kMove) out.emplace(copy.digest, copy.delayed);
        return false;
      });
  if (!looked.ok()) return looked.error().in(request.to);
  return out;
}

Result<std::uint64_t> Migration::copy_topic(const MigrationRequest& request, const std::string& topic) {
  TopicWork& work = work_[topic];
  MigratedTopic& figures = work.figures;
  const bool first = figures.topic.empty();
  figures.topic = topic;
  figures.own = figures.expired = figures.refused = 0;
  std::uint64_t fresh = 0;
  std::vector<Copy> batch;
  std::size_t bytes = 0;
  // What an earlier call has copied is there already.
  std::unordered_map<Digest, bool, DigestHash> there;
  if (first) {
    EZ_ASSIGN(there, at_target(request, topic));
  }
  const auto flush = [&]() -> Status {
    if (batch.empty()) return {};
    bytes = 0;
    return send(request, work, std::exchange(batch, {}));
  };
  const Status looked =
      host_.bus_named(request.from)->inventory()->look(topic, false, [&](Lying& lying) -> Result<bool> {
        EZ_TRY(stopped());
        Copy copy = seen(std::move(lying), true, request);
        if (copy.kind == Copy::Kind::kOwn) ++figures.own;
        if (copy.kind == Copy::Kind::kExpired) ++figures.expired;
        if (copy.kind == Copy::Kind::kRefused) ++figures.refused;
        if (copy.kind != Copy::Kind::kMove) return false;
        const auto number = static_cast<std::uint32_t>(work.sent.size());
        if (!work.sent.emplace(copy.digest, Sent{number, false}).second) return false;  // another group's
        if (++total_ > kMaxMigrated) {
          return Error(Code::Overloaded, "more than 5,000,000 messages lie there",
                       "Move them topic by topic.");
        }
        ++fresh;
        ++figures.messages;
        figures.delayed += copy.delayed ? 1 : 0;
        figures.bytes += copy.message.payload.size();
        if (there.contains(copy.digest)) {
          ++figures.copied;
          return false;
        }
        bytes += copy.message.payload.size();
        batch.push_back(std::move(copy));
        if (batch.size() >= kCopyBatch || bytes >= kCopyBytes) EZ_TRY(flush());
        return false;
      });
  const Status flushed = looked.ok() ? flush() : Status{};
  publish_figures(work);
  if (!flushed.ok()) return flushed.error();
  if (!looked.ok()) return looked.error();
  return fresh;
}

// Until all of it is there. After a failure the target is asked what it has got.
Status Migration::send(const MigrationRequest& request, TopicWork& work, std::vector<Copy> batch) {
  Bus& target = *host_.bus_named(request.to);
  for (int tries = 0;; ++tries) {
    EZ_TRY(stopped());
    std::vector<Message> messages;
    for (const Copy& one : batch) messages.push_back(one.message);
    const auto receipts = publish_and_wait(target, std::move(messages));
    std::optional<Error> failed;
    std::vector<Copy> again;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (receipts[i].ok()) {
        ++work.figures.copied;
        if (!receipts[i]->duplicate) continue;
        ++work.figures.known;
        work.sent.at(batch[i].digest).known = true;
        continue;
      }
      const Error& error = receipts[i].error();
      if (!failed) failed = error;
      again.push_back(std::move(batch[i]));
    }
    publish_figures(work);
    if (!failed) return {};
    const bool may = failed->retry() || failed->code() == Code::OutcomeUnknown;
    if (!may || tries >= kCopyTries) return failed->in(request.to);
    if (!pause(kCopyPauseMs)) return stopped();
    batch = std::move(again);
    auto there = at_target(request, work.figures.topic);
    if (!there.ok()) continue;
    work.figures.copied += std::erase_if(batch, [&](const Copy& one) { return there->contains(one.digest); });
    if (batch.empty()) return {};
  }
}

Status Migration::verify(const MigrationRequest& request, TopicWork& work) {
  MigratedTopic& figures = work.figures;
  const std::string topic = figures.topic;
  std::vector<Digest> wanted;
  for (const auto& [digest, sent] : work.sent) wanted.push_back(digest);
  figures.source_hash = digest_of(wanted);
  for (int tries = 0;; ++tries) {
    std::unordered_map<Digest, bool, DigestHash> found;
    std::unordered_map<std::string, std::uint32_t> newest;  // by key
    std::string disorder;
    const Status looked =
        host_.bus_named(request.to)->inventory()->look(topic, false, [&](Lying& lying) -> Result<bool> {
          EZ_TRY(stopped());
          const bool waited = lying.message.delay_ms > 0;
          const Copy copy = seen(std::move(lying), false, request);
          const auto sent = work.sent.find(copy.digest);
          if (copy.kind != Copy::Kind::kMove || sent == work.sent.end()) return false;
          if (!found.emplace(copy.digest, true).second) return false;
          // A message with a delay takes its place when it is due, so it says nothing about order.
          if (copy.message.key.empty() || waited) return false;
          const auto [last, fresh] = newest.emplace(copy.message.key, sent->second.number);
          if (!fresh && last->second > sent->second.number) disorder = copy.message.key;
          last->second = std::max(last->second, sent->second.number);
          return false;
        });
    if (!looked.ok()) return looked.error().in(request.to);
    std::vector<Digest> there;
    std::uint64_t missing = 0;
    for (const auto& [digest, sent] : work.sent) {
      // What the target knew before it may have given out already; so may the embedded queue with everything.
      const bool counts = found.contains(digest) || sent.known || request.to == kEmbedded;
      if (counts) there.push_back(digest);
      missing += counts ? 0 : 1;
    }
    figures.target_hash = digest_of(there);
    figures.verified = missing == 0 && disorder.empty() && figures.target_hash == figures.source_hash &&
                       figures.copied == figures.messages;
    publish_figures(work);
    if (figures.verified) return {};
    // One that is just becoming due may be in neither place for a moment.
    if (tries < kVerifyTries && disorder.empty() && pause(kVerifyPauseMs)) continue;
    EZ_TRY(stopped());
    if (!disorder.empty()) {
      return Error(Code::WrongState, "messages of the key " + disorder + " of " + topic +
                                         " are not in their order at " + request.to);
    }
    return Error(Code::WrongState,
                 std::to_string(missing) + " of " + std::to_string(figures.messages) + " messages of " +
                     topic + " that were copied are not at " + request.to,
                 "Stop who consumes there, and call again: nothing was removed at " + request.from + ".");
  }
}

}  // namespace ez::queue
