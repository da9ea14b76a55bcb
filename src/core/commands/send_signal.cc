#include <algorithm>

#include "base/sha256.h"
#include "core/commands/command.h"
#include "core/waits.h"

namespace ez::core {
namespace {

std::optional<Error> check(const Run& run, const pb::SendSignal& command) {
  if (command.payload().size() > kMaxInlineBytes) {
    return Error(Code::PayloadTooLarge, "payload: it has " + std::to_string(command.payload().size()) +
                                            " bytes; at most " + std::to_string(kMaxInlineBytes) +
                                            " are allowed");
  }
  if (run.definition().knows_signal(command.name())) return std::nullopt;
  return Error(Code::SignalNotFound, "no task of " + run.definition().name + " version " +
                                         std::to_string(run.workflow->version) + " waits for a signal " +
                                         command.name());
}

std::optional<Error> check_room(const Mail& mail, const pb::SendSignal& command) {
  std::size_t bytes = command.payload().size();
  for (const Signal& signal : mail.kept) bytes += signal.payload.size();
  if (mail.kept.size() < kMaxKeptSignals && bytes <= kMaxKeptSignalBytes) return std::nullopt;
  return Error(Code::SignalsFull,
               std::to_string(mail.kept.size()) + " signals are kept for the run already; at most " +
                   std::to_string(kMaxKeptSignals) + " are, with " + std::to_string(kMaxKeptSignalBytes) +
                   " bytes");
}

std::string hash_of(const pb::SendSignal& command) {
  return sha256_hex(command.name() + "\n" + command.payload()).substr(0, 32);
}

}  // namespace

void apply_send_signal(Context& context, const pb::SendSignal& command) {
  Reply& reply = context.effects.reply;
  Run* run = context.state.write_run(RunId{command.run()});
  if (run == nullptr) {
    reply.error = Error(Code::RunNotFound, "no live run " + to_text(RunId{command.run()}));
    return;
  }
  reply.run = run->id;
  reply.error = check(*run, command);
  if (reply.error) return;
  if (!command.id().empty() && run->mail) {
    const auto& seen = run->mail->seen;
    const auto known =
        std::find_if(seen.begin(), seen.end(), [&](const SeenSignal& one) { return one.id == command.id(); });
    if (known != seen.end()) {
      if (known->hash != hash_of(command)) {
        reply.error = Error(Code::IdempotencyConflict,
                            "the id " + command.id() + " came with another signal for " + to_text(run->id));
      }
      return;
    }
  }
  Signal signal{command.name(), command.payload(), command.id(), command.principal(), context.now_ms};
  const std::uint32_t taker = hand_over(context, *run, signal);
  if (taker != kNoInstance) {
    reply.task = run->key_of(run->tasks[taker]);
  } else {
    if (run->mail) reply.error = check_room(*run->mail, command);
    if (reply.error) return;
  }
  reply.created = true;
  if (taker == kNoInstance || !command.id().empty()) {
    if (!run->mail) run->mail = Cow<Mail>(Mail{});
    Mail& mail = run->mail.write();
    if (taker == kNoInstance) mail.kept.push_back(std::move(signal));
    if (!command.id().empty()) {
      if (mail.seen.size() >= kMaxSeenSignals) mail.seen.erase(mail.seen.begin());
      mail.seen.push_back({command.id(), hash_of(command)});
    }
  }
  settle(context, *run);
}

}  // namespace ez::core
