#include "cli/run_filter.h"

#include <iterator>

#include "cli/session.h"

namespace ez::cli {
namespace {

struct Word {
  std::string_view option;
  std::string_view member;
};
constexpr Word kWords[] = {{"workflow", "workflow"},
                           {"state", "state"},
                           {"started-by", "started_by"},
                           {"error", "error"},
                           {"text", "text"},
                           {"created-from", "created_from"},
                           {"created-before", "created_before"},
                           {"finished-from", "finished_from"},
                           {"finished-before", "finished_before"}};

}  // namespace

std::vector<OptionSpec> run_filter_options(std::vector<OptionSpec> further) {
  const OptionSpec options[] = {
      {"--state", "STATE",
       "only runs in that state: live, finished, running, paused, queued, succeeded, failed, cancelled"},
      {"--workflow", "NAME", "only runs of that workflow"},
      {"--label", "NAME=VALUE", "only runs with that label; several: with all of them", true},
      {"--text", "TEXT", "only the run with that id, or with TEXT in workflow, starter or error code"},
      {"--started-by", "PRINCIPAL", "only runs that PRINCIPAL started"},
      {"--error", "CODE", "only runs that ended with that error"},
      {"--created-from", "TIME", "started at TIME or later: 2026-11-22 or 2026-11-22T16:48:00Z"},
      {"--created-before", "TIME", "started before TIME"},
      {"--finished-from", "TIME", "ended at TIME or later"},
      {"--finished-before", "TIME", "ended before TIME"}};
  further.insert(further.end(), std::begin(options), std::end(options));
  return further;
}

Result<Value> read_labels(const std::vector<std::string>& given) {
  Value labels(Value::Map{});
  for (const std::string& pair : given) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size())
      return Error(Code::InvalidArgument, "--label " + pair + ": is not of the form NAME=VALUE");
    const std::string name = pair.substr(0, equals);
    if (labels.find(name) != nullptr)
      return Error(Code::InvalidArgument, "--label " + name + " is given twice");
    labels.set(name, Value(pair.substr(equals + 1)));
  }
  return labels;
}

Result<Value> read_run_filter(const Arguments& arguments) {
  Value filter(Value::Map{});
  for (const Word& word : kWords) {
    if (arguments.has(word.option)) filter.set(word.member, Value(arguments.text(word.option)));
  }
  EZ_ASSIGN(Value labels, read_labels(arguments.all("label")));
  if (!labels.as_map().empty()) filter.set("label", std::move(labels));
  return filter;
}

std::string run_filter_query(const Value& filter) {
  std::string out;
  const auto add = [&](const std::string& name, const Value& value) {
    out += (out.empty() ? "?" : "&") + encode(name) + "=" + encode(value.as_string());
  };
  for (const auto& [name, value] : filter.as_map()) {
    if (value.is_string()) add(name, value);
    if (!value.is_map()) continue;
    for (const auto& [label, text] : value.as_map()) add(name + "[" + label + "]", text);
  }
  return out;
}

}  // namespace ez::cli
