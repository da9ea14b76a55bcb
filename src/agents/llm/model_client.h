// Calls of one attempt to the model gateway: POST <url>/v1/messages with the virtual key, streamed.
//
// The gateway is the one place that waits out limits and tries providers again, so nothing that it answered
// is repeated here; only a stream that broke on the way is, by the caller. Threads: one call at a time.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agents/llm/message.h"
#include "agents/process.h"
#include "agents/web_port.h"

namespace ez::agents {

inline constexpr std::chrono::milliseconds kModelSilence{300'000};  // the longest, before and between events

class ModelClient {
 public:
  // The port outlives the client. `url` is the gateway's base ("http://127.0.0.1:7878/gateway").
  ModelClient(WebPort& web, std::string url, std::string key)
      : web_(web), url_(std::move(url)), key_(std::move(key)) {}

  // One turn. `time_left` bounds the whole call. Errors: TASK_CANCELLED, COMMAND_TIMEOUT (time_left is over),
  // MODEL_STREAM_BROKEN, MODEL_UNAVAILABLE (no answer at all), MODEL_REPLY_INVALID, and what model_error()
  // makes of an answer.
  [[nodiscard]] Result<ModelReply> ask(const Value& request, const ReplyAssembler::OnText& on_text,
                                       const CancelToken& cancel,
                                       std::optional<std::chrono::milliseconds> time_left) const;

 private:
  WebPort& web_;
  const std::string url_;
  const std::string key_;
};

}  // namespace ez::agents
