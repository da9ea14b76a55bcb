// Bounds of the API, in one place. docs/guide/api.md repeats those that callers meet.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ez::http::api {

inline constexpr std::int64_t kDefaultListLimit = 50;
inline constexpr std::int64_t kMaxListItems = 500;
inline constexpr std::int64_t kMaxWaitMs = 60'000;
// With results in the request the agent is told soon whether they were accepted, work or not.
inline constexpr std::int64_t kResultWaitMs = 100;
// A request for work waits at least so long, because what is ready has to pass the log once before it is
// handed out.
inline constexpr std::int64_t kLeastWorkWaitMs = 50;
inline constexpr std::int64_t kHeartbeatMs = 10'000;  // how often an agent is asked to call
inline constexpr std::size_t kMaxResults = 256;       // of one POST /v1/work
inline constexpr std::int64_t kMaxWant = 1'024;
inline constexpr std::size_t kMaxFences = 4'096;     // of one heartbeat
inline constexpr std::size_t kMaxCommentBytes = 4'096;
inline constexpr std::size_t kMaxKeyBytes = 256;      // of an idempotency key
inline constexpr std::size_t kMaxInputsBytes = 4 * 1024 * 1024;
inline constexpr std::uint64_t kMaxWorkBodyBytes = 8 * 1024 * 1024;
inline constexpr std::uint64_t kMaxLogBodyBytes = 1024 * 1024;
inline constexpr std::uint64_t kMaxArtifactBytes = 1ULL << 30;

inline constexpr std::size_t kRenderQueue = 20'000;   // answers that wait to be written as JSON
inline constexpr std::size_t kTransferQueue = 2'000;  // blobs and logs that wait for the disk
inline constexpr std::size_t kModelQueue = 2'000;     // calls of models that wait to be read
inline constexpr std::size_t kMaxTimers = 200'000;
inline constexpr std::size_t kOpenLogs = 8'192;  // attempts whose log is closed when their result comes
inline constexpr std::size_t kFollowerEvents = 10'000;  // changes that wait for one slow follower
inline constexpr std::size_t kPieceBytes = 128 * 1024;  // tasks of one event of a large run, about

}  // namespace ez::http::api
