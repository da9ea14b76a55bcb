// Recordings: what a cassette has is answered from it, what is not may be recorded.
#include "base/json.h"
#include "models/dialect/codec.h"
#include "models/dialect/dialect.h"
#include "models/gateway/call.h"
#include "telemetry/log.h"

namespace ez::models {
namespace {

constexpr std::string_view kCassetteKey = "cassette";

// What the recorded answer says of its tokens; nothing when it cannot be read.
UsageSum usage_of(const RecordedAnswer& recorded, Dialect client) {
  UsageSum sum;
  sum.calls = 1;
  Usage usage;
  if (recorded.stream) {
    const auto meter = StreamMeter::make(client);
    for (const std::string& chunk : recorded.chunks) meter->observe(chunk);
    usage = meter->summary().usage;
  } else if (client == Dialect::kGemini && !recorded.chunks.empty()) {
    const auto answer = parse_json(recorded.chunks.front());
    if (answer.ok()) (void)read_gemini_usage(answer->find("usageMetadata"), usage);
  } else if (!recorded.chunks.empty()) {
    const auto answer = parse_answer(client, recorded.chunks.front());
    if (answer.ok()) usage = answer->usage;
  }
  const auto count = [](std::int64_t tokens) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(tokens, 0));
  };
  sum.input_tokens = count(usage.input_tokens);
  sum.cache_read_tokens = count(usage.cache_read_tokens);
  sum.cache_write_tokens = count(usage.cache_write_tokens);
  sum.output_tokens = count(usage.output_tokens);
  return sum;
}

}  // namespace

RecordedRequest Call::recorded_request() const {
  return {"POST", std::string(path_of(request_.endpoint)), request_.body};
}

// True: the call is answered, or refused. Otherwise it goes to a provider, and perhaps into the recording.
bool Call::replayed() {
  const CassetteMode mode = core_.cassette->mode();
  if (mode == CassetteMode::kReplay || mode == CassetteMode::kStrict) {
    const LeaseInfo& info = request_.account->info;
    const std::string scope = info.fence.valid() ? to_text(info.run) : info.agent;
    auto played = core_.cassette->cassette().play(scope, recorded_request(), request_.substitutions);
    if (played.ok()) {
      give_replay(*played->answer, usage_of(*played->answer, plan_.client));
      return true;
    }
    if (mode == CassetteMode::kStrict || played.error().code() != Code::CassetteMiss) {
      fail(Gateway::error_of(played.error()));
      return true;
    }
  }
  recording_.emplace();
  return false;
}

// Marked everywhere: a header of the answer, a line of its own in the accounts. It costs nothing.
void Call::give_replay(const RecordedAnswer& recorded, UsageSum sum) {
  auto self = shared_from_this();
  auto answer = std::make_shared<const RecordedAnswer>(recorded);
  core_.ledger.reserve(request_.account, 0, [self, answer, sum](const Status& status) {
    if (!status.ok()) return self->fail(Gateway::error_of(status.error()));
    const std::string provider =
        self->plan_.targets.empty() ? std::string() : self->plan_.targets.front().provider->name;
    self->core_.ledger.settle(self->request_.account, 0,
                              {provider, self->plan_.model, std::string(kCassetteKey), true}, sum);
    (void)self->core_.http->post([self, answer] {
      Headers headers = answer->headers;
      if (!find_header(headers, "content-type")) headers.emplace_back("content-type", "application/json");
      headers.emplace_back("ez-replayed", "true");
      if (!answer->stream) {
        std::string body;
        for (const std::string& chunk : answer->chunks) body += chunk;
        self->conclude("replayed");
        return self->client_->answer(answer->status, std::move(headers), std::move(body));
      }
      self->forwarding_ = true;
      self->client_->begin_stream(std::move(headers));
      for (const std::string& chunk : answer->chunks) (void)self->forward(chunk);
      self->finish_stream("replayed");
    });
  });
}

// While recording, the end of a call waits for the disk.
void Call::record() {
  if (!recording_) return;
  recording_->status = 200;
  const Status recorded =
      core_.cassette->record(recorded_request(), *recording_, request_.substitutions, core_.redactor);
  recording_.reset();
  if (recorded.ok()) return;
  EZ_LOG(kError, "models", "a call was not recorded", {"error", recorded.error().to_string()});
}

}  // namespace ez::models
