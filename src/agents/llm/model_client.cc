#include "agents/llm/model_client.h"

#include <algorithm>

#include "agents/event_stream.h"
#include "base/json.h"

namespace ez::agents {

using std::chrono::milliseconds;

Result<ModelReply> ModelClient::ask(const Value& request, const ReplyAssembler::OnText& on_text,
                                    const CancelToken& cancel, std::optional<milliseconds> time_left) const {
  const auto over = [] { return Error(Code::CommandTimeout, "the time of the attempt is over"); };
  if (time_left && time_left->count() <= 0) return over();
  const auto began = std::chrono::steady_clock::now();
  const auto late = [&] { return time_left && std::chrono::steady_clock::now() - began >= *time_left; };

  ReplyAssembler assembler(on_text);
  EventStream events([&](const std::string&, const std::string& data) { return assembler.event(data); },
                     kMaxReplyBytes + 64 * 1024);
  std::optional<Error> broken;
  bool began_to_answer = false;
  WebRequest call;
  call.url = url_ + "/v1/messages";
  call.headers = {{"anthropic-version", "2023-06-01"}, {"x-api-key", key_}, {"accept", "text/event-stream"}};
  call.body = to_json(request);
  call.timeout = time_left ? std::min(kModelSilence, *time_left) : kModelSilence;
  call.idle_timeout = call.timeout;
  call.max_answer_bytes = 64 * 1024;
  call.cancel = &cancel;
  call.sink = [&](std::string_view piece) {
    began_to_answer = true;
    auto more = events.feed(piece);
    if (!more.ok()) broken = more.error();
    return more.ok() && *more && !late();
  };
  const auto answer = web_.send(call);
  if (cancel.cancelled()) return Error(Code::TaskCancelled, "cancelled while the model was at work");
  if (late()) return over();
  if (broken) return Error(Code::ModelReplyInvalid, broken->message());
  if (!answer.ok()) {
    const Code code = answer.error().code();
    if (code == Code::ServerUnreachable || code == Code::OutcomeUnknown) {
      return Error(began_to_answer ? Code::ModelStreamBroken : Code::ModelUnavailable,
                   "the model gateway: " + answer.error().message());
    }
    return answer.error();
  }
  if (answer->status >= 400) return model_error(answer->status, answer->body);
  return assembler.finish();
}

}  // namespace ez::agents
