#include <poll.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/clock.h"
#include "queue/redis/entry.h"
#include "queue/redis/nodes.h"
#include "queue/redis/scripts.h"
#include "queue/redis/sessions.h"

namespace ez::queue::redis {
namespace {

using broker::TopicQueue;

// Fewer messages are not worth a transaction.
constexpr std::size_t kOpenFrom = 16;

std::int64_t now_ms() { return system_clock().monotonic_us() / 1000; }

class RedisRead final : public broker::ReadSession {
 public:
  RedisRead(const RedisOptions& options, std::string member, std::vector<std::string> former)
      : options_(options),
        nodes_(options_),
        member_(std::move(member)),
        former_(std::move(former)),
        alive_(std::to_string(options.alive_ms)) {}

  [[nodiscard]] Status open();
  Status set_sources(const std::vector<TopicQueue>& sources) override;
  Result<Fetched> fetch(std::size_t want) override;
  Result<std::vector<bool>> settle(const std::vector<Settled>& done) override;
  Status wait(int wake_fd, std::chrono::milliseconds time) override;
  void leave() override;
  bool hot() const override { return !hot_.empty(); }
  bool pushed() const override { return !lost_.empty(); }

 private:
  struct Source {
    std::string topic;  // empty: gone
    std::string base;
    std::string queue;
    bool known = false;        // the server knows this member
    std::int64_t beat_ms = 0;  // when it has to hear of us
    std::int64_t due_ms = -1;  // when a delayed message is due; -1: none is known
    int lane = -1;  // the last fetch found many, all but those with keys in that one; -1: it did not
  };
  [[nodiscard]] Status fetch_one(std::uint32_t number, std::size_t want, Fetched& out);
  // The fetch script, and messages of the source's lane past Lua (scripts.h). False: ask it the other way.
  struct Answer {
    Reply script;
    Reply direct;
    bool opened = false;
  };
  [[nodiscard]] Result<bool> fetch_open(const Source& source, const std::string& want, Answer& out);
  [[nodiscard]] Words fetch_words(const Source& source, std::string_view want, std::string_view lane) const {
    return {
        "EVAL", kFetchScript, "1", source.base, source.queue, member_, want, alive_, source.known ? "1" : "0",
        lane};
  }
  [[nodiscard]] Status hear();  // what the channels say
  void heat(std::uint32_t number) { hot_.insert(number); }

  const RedisOptions options_;
  Nodes nodes_;
  Nodes listening_{options_};
  const std::string member_;
  const std::vector<std::string> former_;
  const std::string alive_;
  std::vector<Source> sources_;
  std::map<std::string, std::uint32_t> by_channel_;
  std::set<std::uint32_t> hot_;
  std::vector<std::uint32_t> lost_;
  std::set<std::string> left_;  // base and queue
  Connection* ear_ = nullptr;
};

Status RedisRead::open() {
  auto first = nodes_.of("");
  if (!first.ok()) return first.error();
  // In a cluster every node hears what is published at any node.
  EZ_ASSIGN(ear_, listening_.of(""));
  return {};
}

Status RedisRead::set_sources(const std::vector<TopicQueue>& sources) {
  for (std::uint32_t i = 0; i < sources.size(); ++i) {
    if (i < sources_.size()) {
      Source& gone = sources_[i];
      if (!sources[i].topic.empty() || gone.topic.empty()) continue;
      // Its queue may live on, for others: what was fetched from it is theirs.
      if (gone.known) {
        auto left = nodes_.ask(gone.topic, {"EVAL", kLeaveScript, "1", gone.base, gone.queue, member_});
        if (!left.ok()) return left.error();
        left_.insert(gone.base + gone.queue);
      }
      gone.topic.clear();
      continue;
    }
    sources_.push_back({sources[i].topic, base_of(options_, sources[i].topic),
                        std::to_string(sources[i].queue), false, 0, -1});
    if (sources[i].topic.empty()) continue;
    const Source& source = sources_.back();
    // Who has left a queue is not heard there any more: a new session is somebody else.
    if (left_.contains(source.base + source.queue)) {
      return Error(Code::QueueUnreachable, "the topic " + source.topic + " has come back");
    }
    for (const std::string& member : former_) {
      auto left = nodes_.ask(source.topic, {"EVAL", kLeaveScript, "1", source.base, source.queue, member});
      if (!left.ok()) return left.error();
    }
    const std::string channel = source.base + "wake";
    by_channel_[channel] = i;
    ear_->append({"SUBSCRIBE", channel});
    EZ_TRY(ear_->flush());
    heat(i);
  }
  return {};
}

Result<bool> RedisRead::fetch_open(const Source& source, const std::string& want, Answer& out) {
  EZ_ASSIGN(Connection* const connection, nodes_.of(source.topic));
  if (!connection->transactions()) return false;
  const std::string lane = std::to_string(source.lane);
  const std::string stream = source.base + source.queue + ":" + lane;
  const std::string open = source.base + "open:" + lane;
  connection->append({"MULTI"});
  connection->append(fetch_words(source, want, lane));
  connection->append({"XREADGROUP", "GROUP", "g", member_, "COUNT", want, "STREAMS", open, ">"});
  connection->append({"RENAMENX", open, stream});
  connection->append({"EXEC"});
  EZ_TRY(connection->flush());
  EZ_ASSIGN(const Reply began, connection->receive());
  for (int i = 0; i < 3; ++i) {
    // A refusal among them is in EXEC's answer too.
    EZ_ASSIGN(const Reply ignored, connection->receive());
  }
  EZ_ASSIGN(Reply done, connection->receive());
  // The right was taken away: a new connection knows, and what was fetched is given back to it.
  if (began.is_error()) {
    return Error(Code::QueueUnreachable, connection->where() + ": no transactions any more: " + began.text);
  }
  if (done.list.size() != 3) return false;
  if (done.list[0].is_error()) return answer_error(connection->where(), done.list[0].text);
  out.script = std::move(done.list[0]);
  out.opened = out.script.at(4).number == 1;
  if (out.opened && done.list[1].is_error()) return answer_error(connection->where(), done.list[1].text);
  if (out.opened && !done.list[1].list.empty() && done.list[1].list[0].list.size() == 2) {
    out.direct = std::move(done.list[1].list[0].list[1]);
  }
  return true;
}

Status RedisRead::fetch_one(std::uint32_t number, std::size_t want, Fetched& out) {
  Source& source = sources_[number];
  const std::string count = std::to_string(want);
  const int lane = want >= kOpenFrom ? source.lane : -1;
  Answer answer;
  bool answered = false;
  if (lane >= 0) {
    EZ_ASSIGN(answered, fetch_open(source, count, answer));
  }
  if (!answered) {
    EZ_ASSIGN(answer.script, nodes_.ask(source.topic, fetch_words(source, count, "")));
  }
  Reply& reply = answer.script;
  const std::string status = reply.at(0).text;
  source.beat_ms = now_ms() + options_.alive_ms / 4;
  source.due_ms = -1;
  if (want > 0) source.lane = -1;
  if (status == "GONE") {
    out.gone.push_back(number);
    source.known = false;
    hot_.erase(number);
    return {};
  }
  if (status == "LOST") {
    // Others have what was fetched. Begin again as somebody new.
    source.known = false;
    out.lost.push_back(number);
    return {};
  }
  if (status != "OK") return Error(Code::QueueProtocol, "the fetch script answered something else");
  source.known = true;
  if (reply.at(1).number >= 0) source.due_ms = now_ms() + reply.at(1).number;
  std::size_t of_lane[broker::kLanes] = {};
  std::size_t got = 0;
  const auto take = [&](std::optional<broker::Entry> entry) {
    if (!entry || entry->place.lane >= broker::kLanes) return false;
    ++of_lane[entry->place.lane];
    ++got;
    out.entries.push_back(std::move(*entry));
    return true;
  };
  bool read = true;
  if (reply.list.size() > 2) {
    for (Reply& one : reply.list[2].list) read = read && take(read_entry(one, source.topic, number));
  }
  for (Reply& one : answer.direct.list) read = read && take(read_entry_of(lane, one, source.topic, number));
  if (!read) return Error(Code::QueueProtocol, "the fetch script answered something else");
  if (want == 0) return {};
  // Without an open stream the lane has not been looked at.
  const bool all_seen = !answered || (answer.opened && reply.at(3).number == 0);
  for (int one = 0; all_seen && one < broker::kKeyedLane; ++one) {
    if (of_lane[one] >= kOpenFrom && of_lane[one] + of_lane[broker::kKeyedLane] == got) source.lane = one;
  }
  if (got < want && all_seen) hot_.erase(number);
  return {};
}

Result<broker::ReadSession::Fetched> RedisRead::fetch(std::size_t want) {
  EZ_TRY(hear());
  Fetched out;
  out.lost.swap(lost_);
  // Of several topics, oldest first; each round begins where the last one ended, so that none starves.
  const std::vector<std::uint32_t> round(hot_.begin(), hot_.end());
  for (const std::uint32_t number : round) {
    if (out.entries.size() >= want) break;
    if (sources_[number].topic.empty()) {
      hot_.erase(number);
      continue;
    }
    EZ_TRY(fetch_one(number, want - out.entries.size(), out));
  }
  return out;
}

Result<std::vector<bool>> RedisRead::settle(const std::vector<Settled>& done) {
  std::map<std::uint32_t, std::vector<std::size_t>> by_source;
  for (std::size_t i = 0; i < done.size(); ++i) by_source[done[i].place.source].push_back(i);
  struct Asked {
    const std::vector<std::size_t>* members = nullptr;
    std::string bytes;
    std::vector<std::string> ids;
    Words words;
    Connection* connection = nullptr;
    std::string topic;
    Reply reply;
  };
  static constexpr std::string_view kDigits[] = {"0", "1", "2", "3", "4", "5"};
  std::vector<Asked> asked;
  asked.reserve(by_source.size());
  std::vector<bool> out(done.size(), false);
  for (const auto& [number, members] : by_source) {
    const Source& source = sources_[number];
    if (source.topic.empty()) continue;
    Asked& one = asked.emplace_back();
    one.members = &members;
    one.topic = source.topic;
    std::size_t bytes = 0;
    for (const std::size_t member : members) bytes += done[member].bytes;
    one.bytes = std::to_string(bytes);
    one.words = {"EVAL", kSettleScript, "1", source.base, source.queue, member_, one.bytes};
    one.ids.reserve(members.size());
    for (const std::size_t member : members) {
      one.ids.push_back(entry_id(done[member].place));
      one.words.push_back(kDigits[done[member].place.lane]);
      one.words.push_back(one.ids.back());
    }
    EZ_ASSIGN(one.connection, nodes_.of(source.topic));
    one.connection->append(one.words);
    EZ_TRY(one.connection->flush());
  }
  // Redirections ask over the same connections: only when no reply is under way any more.
  for (Asked& one : asked) {
    EZ_ASSIGN(one.reply, one.connection->receive());
  }
  for (Asked& one : asked) {
    Reply& reply = one.reply;
    if (reply.is_error()) {
      EZ_ASSIGN(reply, nodes_.redirect(one.topic, std::move(reply), one.words));
    }
    if (reply.is_error()) return answer_error(one.connection->where(), reply.text);
    for (const std::size_t member : *one.members) out[member] = reply.number == 1;
  }
  return out;
}

Status RedisRead::hear() {
  Reply said;
  while (true) {
    EZ_ASSIGN(const bool something, ear_->receive_ready(said));
    if (!something) return {};
    if (said.is_error()) return answer_error(ear_->where(), said.text);
    const auto channel = by_channel_.find(said.at(1).text);
    if (channel != by_channel_.end() && said.at(0).text == "message") heat(channel->second);
  }
}

Status RedisRead::wait(int wake_fd, std::chrono::milliseconds time) {
  const std::int64_t start = now_ms();
  std::int64_t until = start + time.count();
  for (const Source& source : sources_) {
    if (source.topic.empty()) continue;
    until = std::min(until, source.beat_ms);
    if (source.due_ms >= 0) until = std::min(until, source.due_ms);
  }
  pollfd wanted[] = {{wake_fd, POLLIN, 0}, {ear_->descriptor(), POLLIN, 0}};
  ::poll(wanted, 2, static_cast<int>(std::clamp<std::int64_t>(until - start, 0, 60'000)));
  EZ_TRY(hear());
  const std::int64_t now = now_ms();
  for (std::uint32_t i = 0; i < sources_.size(); ++i) {
    Source& source = sources_[i];
    if (source.topic.empty()) continue;
    if (source.due_ms >= 0 && source.due_ms <= now) heat(i);
    if (source.beat_ms > now) continue;
    // Says that we live. Also notices what a lost wake-up would have told, and what others left behind.
    Fetched nothing;
    EZ_TRY(fetch_one(i, 0, nothing));
    lost_.insert(lost_.end(), nothing.lost.begin(), nothing.lost.end());
    heat(i);
  }
  return {};
}

void RedisRead::leave() {
  for (const Source& source : sources_) {
    if (source.topic.empty() || !source.known) continue;
    auto left = nodes_.ask(source.topic, {"EVAL", kLeaveScript, "1", source.base, source.queue, member_});
    if (!left.ok()) return;  // then it is given back when alive_ms is over
  }
}

}  // namespace

Result<std::unique_ptr<broker::ReadSession>> open_read(const RedisOptions& options, const std::string& member,
                                                       const std::vector<std::string>& former) {
  auto session = std::make_unique<RedisRead>(options, member, former);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ReadSession>(std::move(session));
}

}  // namespace ez::queue::redis
