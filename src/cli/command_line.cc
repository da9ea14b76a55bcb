#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>

#include "base/check.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::string_view kAbout =
    "Ez Aigent: runs workflows of AI coding agents over your repositories.\n\n"
    "  ez run FILE --follow     run a workflow and watch it; starts a server when none runs\n"
    "  ez up                    start a server on this machine\n"
    "  ez COMMAND --help        options and examples of a command";

const std::vector<OptionSpec>& remote_options() {
  static const std::vector<OptionSpec> options{
      {"--server", "URL", "the server (EZ_SERVER; else the one that runs on the data directory)"},
      {"--token-file", "FILE", "file with its token (EZ_TOKEN holds a token itself; else <data>/token)"},
      {"--data", "DIR", "data directory (EZ_DATA; else ~/.local/state/ez)"},
      {"--namespace", "NAME", "whose runs and workflows (EZ_NAMESPACE; else default); * in lists: of all"}};
  return options;
}

std::string group_summary(const std::string& group) {
  static const std::map<std::string, std::string> kSummaries = {
      {"bench", "Measure this ez"},
      {"dlq", "Messages that could not be delivered: look, send again, discard"},
      {"namespace", "Shares and limits of namespaces"},
      {"queue", "Messages: publish, take, watch, and topics"},
      {"schedule", "Runs that start by the calendar"},
      {"trigger", "Runs that start when a message comes"},
      {"workflow", "Check, register and list workflows"}};
  const auto found = kSummaries.find(group);
  EZ_CHECK(found != kSummaries.end(), "a group of commands does not say what it is for");
  return found->second;
}

std::string long_name(std::string_view names) {
  const std::size_t at = names.rfind("--");
  return std::string(at == std::string_view::npos ? names : names.substr(at + 2));
}

// A command with the places that CLI11 writes its values to.
struct Bound {
  const Command* command = nullptr;
  CLI::App* app = nullptr;
  std::vector<std::pair<std::string, CLI::Option*>> options;
};

void bind_option(Bound& bound, const OptionSpec& spec, const std::string& group) {
  CLI::Option* option = nullptr;
  const std::string help(spec.help);
  if (spec.value.empty()) {
    option = bound.app->add_flag(std::string(spec.names), help);
  } else {
    option = bound.app->add_option(std::string(spec.names), help);
    option->type_name(std::string(spec.value));
    if (spec.many) {
      option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    } else {
      option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
  }
  option->group(group);
  bound.options.emplace_back(long_name(spec.names), option);
}

Bound bind_command(CLI::App& root, std::map<std::string, CLI::App*>& groups, const Command& command) {
  Bound bound;
  bound.command = &command;
  CLI::App* parent = &root;
  std::string name(command.path);
  if (const std::size_t blank = name.find(' '); blank != std::string::npos) {
    const std::string group = name.substr(0, blank);
    name = name.substr(blank + 1);
    CLI::App*& app = groups[group];
    if (app == nullptr) {
      app = root.add_subcommand(group, group_summary(group));
      app->require_subcommand(1);
    }
    parent = app;
  }
  bound.app = parent->add_subcommand(name, std::string(command.summary));
  if (!command.examples.empty()) bound.app->footer("Examples:\n" + std::string(command.examples));
  for (const OptionSpec& spec : command.options) bind_option(bound, spec, "Options");
  for (const OperandSpec& spec : command.operands) {
    const std::string help(spec.help);
    CLI::Option* option = bound.app->add_option(std::string(spec.name), help);
    option->type_name("")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::Throw);
    if (spec.required) option->required();
    bound.options.emplace_back(spec.name, option);
  }
  if (command.remote) {
    for (const OptionSpec& spec : remote_options()) bind_option(bound, spec, "Server");
  }
  return bound;
}

Arguments collect(const Bound& bound) {
  Arguments arguments;
  for (const auto& [name, option] : bound.options) {
    if (option->count() == 0) continue;
    const auto values = option->results();
    for (const std::string& value : values) arguments.add(name, value);
  }
  return arguments;
}

int print_error(Session& session, const Error& error, bool json) {
  if (json) {
    session.out << to_json(problem_of(error)) << "\n";
  } else {
    session.err << "ez: " << error.name() << ": " << printable(error.message()) << "\n";
    if (!error.hint().empty()) session.err << "hint: " << printable(error.hint()) << "\n";
  }
  session.out.flush();
  session.err.flush();
  return info(error.code()).exit_status;
}

}  // namespace

Value problem_of(const Error& error) {
  const CodeInfo& what = info(error.code());
  return Value(Value::Map{{"type", Value("/errors/" + std::string(what.name))},
                          {"title", Value(what.name)},
                          {"status", Value(what.http_status)},
                          {"code", Value(what.name)},
                          {"detail", Value(error.message())},
                          {"hint", Value(error.hint())},
                          {"retry", Value(what.retry)}});
}

int run_command_line(const std::vector<std::string>& given, const Ports& ports, std::ostream& out,
                     std::ostream& err) {
  Session session(ports, out, err);
  CLI::App root{std::string(kAbout), "ez"};
  root.require_subcommand(1);
  root.set_version_flag("--version", "ez " + ports.version);
  root.get_formatter()->column_width(34);
  std::map<std::string, CLI::App*> groups;
  std::vector<Bound> commands;
  for (const Command& command : all_commands()) commands.push_back(bind_command(root, groups, command));
  try {
    std::vector<std::string> reversed(given.rbegin(), given.rend());
    root.parse(reversed);
  } catch (const CLI::Success& asked) {  // help and version
    root.exit(asked, out, err);
    return kExitOk;
  } catch (const CLI::ParseError& mistake) {
    // The innermost command that was named, for its help.
    const CLI::App* at = &root;
    while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
    const bool json = std::find(given.begin(), given.end(), "--json") != given.end();
    std::string help = at == &root ? "ez --help" : at->get_name() + " --help";
    for (const CLI::App* up = at->get_parent(); up != nullptr && at != &root; up = up->get_parent()) {
      help = up->get_name() + " " + help;
    }
    return print_error(
        session, Error(Code::InvalidArgument, mistake.what(), "`" + help + "` lists what it takes."), json);
  }
  for (const Bound& bound : commands) {
    if (!bound.app->parsed()) continue;
    const Arguments arguments = collect(bound);
    const Result<int> status = bound.command->run(session, arguments);
    out.flush();
    return status.ok() ? *status : print_error(session, status.error(), arguments.has("json"));
  }
  return kExitOk;
}

int run_command_line(int argc, char** argv, const Ports& ports) {
  try {
    return run_command_line(std::vector<std::string>(argv + 1, argv + argc), ports, std::cout, std::cerr);
  } catch (const std::exception& error) {
    std::cerr << "ez: INTERNAL: " << error.what() << "\n";
    return info(Code::Internal).exit_status;
  }
}

}  // namespace ez::cli
