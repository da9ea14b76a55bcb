// The Lua programs that the Redis backend runs at the server, each atomic. All keys of a topic begin with
// PREFIX:{TOPIC}: and so lie in one slot of a cluster; KEYS[1] is that beginning.
//
//   queues            set of the numbers of the queues that a message goes into
//   N:0 … N:4, N:5    streams of queue N by priority, and of messages with a key; consumer group "g"
//   N:members         hash: reader → until when it lives (ms); 0: it has left
//   N:left:MEMBER     this reader was given up: its late commands do nothing (for five minutes)
//   N:owner           the reader that has the messages with keys
//   delay, delayed    sorted set of numbers by due time, hash of what they stand for
//   ids, ids-before   the ids that are recognised, in two generations
//   stats             published; bytes:N
//   seq, wake         last number of a delayed message; a channel, not a key
//   turn:TOKEN        of a publishing session: the number of its last batch that the publish script took
//   open:0 … open:4   only inside of a transaction: the stream that its next commands mean
//
// Payloads that pass through Lua cost the server two thirds of its time. So batches of plain messages go past
// it, in a transaction: a script looks at the rules and, when they allow it, renames the stream to open:LANE;
// XADD or XREADGROUP on open:LANE follow, which do nothing when there is no such stream; then it is renamed
// back. Nobody sees it in between, and a server that dies in between forgets all of it. That is so as long as
// MULTI is accepted: whoever sends such a transaction has tried it before, on the same connection.
#pragma once

#include <string_view>

namespace ez::queue::redis {

// window, limit, token and number of the batch among those of its session that have to keep their order (0:
// it has not), then for each message: id, lane, delay (ms), bytes of payload, how many words follow, and
// those: names and values of the entry's fields → one character for each message: 1 new, 0 known. Refuses
// with NOTOPIC, FULL, OUTOFTURN (a batch before it was refused: it must not overtake that one).
extern const std::string_view kPublishScript;
// window, limit, bytes of payload together, lanes (digits below 5), then the ids, all different → 1:
// open:LANE is there for each lane, the ids are remembered; 0: the publish script has to look (an id is
// known, the topic is full, it has not exactly one queue).
extern const std::string_view kOpenScript;
// lanes → how many were closed.
extern const std::string_view kCloseScript;
// queue, member, want, alive (ms), known (1: it has fetched before), a lane below 5 or nothing → status (OK,
// LOST, GONE), ms until the next delayed message (-1: none), list of {lane, id, given back, {fields}}, 1 when
// less urgent ones wait that were not looked for, 1 when the lane is open. With a lane: when nothing goes
// before its messages, it is not read but left as open:LANE; less urgent ones are not read at all.
extern const std::string_view kFetchScript;
// queue, member, bytes, then lane, id … → 1, or 0 when the member has lost what it fetched.
extern const std::string_view kSettleScript;
// queue, member
extern const std::string_view kLeaveScript;
// queue
extern const std::string_view kMakeScript;
extern const std::string_view kDropScript;
// queue, max → list of {lane, id, 0, {fields}}
extern const std::string_view kPeekScript;
// queue, most → how many were removed (of the delayed too when the queue is 0 or the first)
extern const std::string_view kPurgeScript;
// → how many delayed ones were removed
extern const std::string_view kPurgeDelayedScript;
// queue → waiting, fetched, delayed, bytes, published
extern const std::string_view kCountScript;

}  // namespace ez::queue::redis
