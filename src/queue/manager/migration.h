// Migration: moves what lies at one backend to another, in the server, on a thread of its own
// (docs/adr/0063-messages-are-moved-in-the-server.md).
//
//   copying    topics of both backends are held: what is published goes no further than the log, nothing is
//              taken in from the two brokers. What lies at the source is published at the target, topic by
//              topic, with its id; again until nothing new is found. Then the target is read, and every
//              message that was copied has to be there as it was, those of a key in their order.
//   removing   which messages were copied is on the disk, and then, in one record of the log, the switch: the
//              routes lead to the target. Exactly those messages are removed at the source.
//
// A failure or a crash leaves it where it is; the same call goes on. While it is copying, the source has
// everything, and what is at the target already is recognised there by its digest. While it is removing, the
// target has everything, and the file says what may go.
//
// Copies of what the log holds are not moved (the log has them), but removed. From the embedded queue nothing
// is removed: its messages get copies at the target, and stay in the log like all that travels through a
// broker.
//
// Threads: any; start() and preview() block while they look at the brokers.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "queue/bus.h"
#include "queue/manager/copies.h"
#include "queue/manager/moves.h"

namespace ez::queue {

inline constexpr std::size_t kMaxMigrated = 5'000'000;  // messages of one migration

struct MigrationRequest {
  std::string from;
  std::string to;
  std::string topic;    // a pattern; empty: every topic
  bool append = false;  // the target may hold messages already
};

struct MigratedTopic {
  std::string topic;
  std::uint64_t messages = 0;  // to be moved
  std::uint64_t delayed = 0;   // of them
  std::uint64_t bytes = 0;     // of their payloads
  std::uint64_t copied = 0;    // the target has confirmed them; also those of an earlier call
  std::uint64_t known = 0;     // of them, those whose id the target had accepted before
  std::uint64_t own = 0;       // copies of what the log holds
  std::uint64_t expired = 0;
  std::uint64_t refused = 0;  // no messages for us: they stay
  std::uint64_t removed = 0;  // at the source, all kinds
  std::uint64_t left = 0;     // came to the source after the copying, or refused
  std::string source_hash;    // of the messages to be moved
  std::string target_hash;    // of those as the target has them
  bool verified = false;
};

struct MigrationView {
  enum class State : std::uint8_t {
    kNone,
    kPreview,
    kCopying,
    kVerifying,
    kRemoving,
    kDone,
    kStopped,
    kGivenUp
  };
  State state = State::kNone;
  MigrationRequest request;
  std::int64_t began_ms = 0;
  std::int64_t ended_ms = 0;
  bool switched = false;
  std::string problem;  // why it stopped
  std::vector<MigratedTopic> topics;
  std::vector<std::string> routes;  // whose primary changes
};
[[nodiscard]] std::string_view to_text(MigrationView::State state);

// What it needs of the manager.
class MigrationHost {
 public:
  virtual ~MigrationHost() = default;
  [[nodiscard]] virtual Bus* bus_named(const std::string& name) = 0;  // nullptr: there is none
  [[nodiscard]] virtual const std::string& journal() const = 0;
  [[nodiscard]] virtual MoveRecord moves() const = 0;
  // Durable when it returns; routes and inlets are then as it says, and nothing is on its way to a broker of
  // a held route.
  [[nodiscard]] virtual Status adopt(MoveRecord record) = 0;
  // The routes whose primary such a move would change, as they are now, within its pattern.
  [[nodiscard]] virtual std::vector<RouteRule> changed_by(const Move& move) const = 0;
  // Whether what lies in the embedded queue's topic is to get copies at that target.
  [[nodiscard]] virtual bool travels_to(const std::string& topic, const std::string& target) const = 0;
};

class Migration {
 public:
  // `file`: where it keeps what was copied; empty: none can be made. The host outlives it.
  Migration(MigrationHost& host, std::string file) : host_(host), file_(std::move(file)) {}
  ~Migration() { stop(); }
  Migration(const Migration&) = delete;
  Migration& operator=(const Migration&) = delete;

  // Looks at both, changes nothing. INVALID_ARGUMENT; WRONG_STATE: another one is unfinished, the target
  // holds messages; QUEUE_UNREACHABLE and the like, with the backend's name.
  [[nodiscard]] Result<MigrationView> preview(const MigrationRequest& request);
  // Begins, or goes on with the same one. As preview(); WRONG_STATE: it is under way.
  [[nodiscard]] Status start(const MigrationRequest& request);
  // Ends one that has stopped. Before the switch: copies at the target are removed, routes are as before;
  // gives what could not be removed there. After the switch: what lies at the source stays there.
  [[nodiscard]] Result<std::string> give_up();
  [[nodiscard]] MigrationView view() const;
  void stop();  // breaks it off; as a crash would

 private:
  struct Sent {
    std::uint32_t number = 0;  // in the order of copying
    bool known = false;
  };
  struct TopicWork {
    MigratedTopic figures;
    std::unordered_map<Digest, Sent, DigestHash> sent;
  };

  [[nodiscard]] Status check(const MigrationRequest& request, bool fresh);
  [[nodiscard]] Status reach(const std::string& name);
  [[nodiscard]] Result<std::vector<std::string>> topics_of(const MigrationRequest& request);
  // Messages at the target that this is not about.
  [[nodiscard]] Status check_target(const MigrationRequest& request, const std::vector<std::string>& topics);
  void run(const MigrationRequest& request, MoveRecord::Phase phase);
  [[nodiscard]] Status copy_all(const MigrationRequest& request);
  [[nodiscard]] Result<std::uint64_t> copy_topic(const MigrationRequest& request, const std::string& topic);
  [[nodiscard]] Status send(const MigrationRequest& request, TopicWork& work, std::vector<Copy> batch);
  [[nodiscard]] Result<std::unordered_map<Digest, bool, DigestHash>> at_target(
      const MigrationRequest& request, const std::string& topic);
  [[nodiscard]] Status verify(const MigrationRequest& request, TopicWork& work);
  [[nodiscard]] Status hand_over(const MigrationRequest& request);
  [[nodiscard]] Status remove_all(const MigrationRequest& request);
  [[nodiscard]] Status finish(const MigrationRequest& request);
  [[nodiscard]] Copy seen(Lying lying, bool at_source, const MigrationRequest& request) const;
  [[nodiscard]] Status stopped() const;
  [[nodiscard]] bool pause(std::int64_t ms) const;  // false: it is the end
  void set_state(MigrationView::State state);
  void publish_figures(const TopicWork& work);

  MigrationHost& host_;
  const std::string file_;
  std::atomic<bool> stop_{false};
  std::mutex starting_;  // one call of start() or give_up() at a time
  std::thread thread_;
  std::atomic<bool> running_{false};
  std::map<std::string, TopicWork> work_;  // of the thread
  std::uint64_t total_ = 0;

  mutable std::mutex mutex_;
  MigrationView view_;
};

}  // namespace ez::queue
