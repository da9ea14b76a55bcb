// Completion scripts, made from the table of commands.
#include <map>

#include "cli/command_line.h"
#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

constexpr std::string_view kRemote = "--server --token-file --data";

// The long options of a command.
std::string long_options(const Command& command) {
  std::string out = "--help";
  for (const OptionSpec& option : command.options) {
    const std::size_t at = option.names.find("--");
    if (at != std::string_view::npos) out += " " + std::string(option.names.substr(at));
  }
  if (command.remote) out += " " + std::string(kRemote);
  return out;
}

// First words of all commands, and the second words of groups.
std::map<std::string, std::string> words() {
  std::map<std::string, std::string> out;
  for (const Command& command : all_commands()) {
    const std::string path(command.path);
    const std::size_t blank = path.find(' ');
    std::string& rest = out[path.substr(0, blank)];
    if (blank != std::string::npos) rest += (rest.empty() ? "" : " ") + path.substr(blank + 1);
  }
  return out;
}

std::string bash() {
  std::string first;
  std::string groups;
  for (const auto& [word, rest] : words()) {
    first += (first.empty() ? "" : " ") + word;
    if (!rest.empty()) groups += "    " + word + ") [[ $COMP_CWORD == 2 ]] && words=\"" + rest + "\" ;;\n";
  }
  std::string options;
  for (const Command& command : all_commands()) {
    options += "    '" + std::string(command.path) + "') words=\"" + long_options(command) + "\" ;;\n";
  }
  return "_ez() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} words= path=${COMP_WORDS[1]}\n"
         "  if [[ $COMP_CWORD == 1 ]]; then\n"
         "    COMPREPLY=($(compgen -W '" +
         first +
         "' -- \"$current\")); return\n"
         "  fi\n"
         "  case $path in workflow|bench) [[ $COMP_CWORD -gt 2 ]] && path+=\" ${COMP_WORDS[2]}\" ;; esac\n"
         "  case $path in\n" +
         groups +
         "  esac\n"
         "  if [[ $current == -* ]]; then\n"
         "    case $path in\n" +
         options +
         "    esac\n"
         "  fi\n"
         "  if [[ -n $words ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  else\n"
         "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _ez ez\n";
}

std::string zsh() { return "autoload -U +X bashcompinit && bashcompinit\n" + bash(); }

std::string fish() {
  std::string out = "complete -c ez -f -n __fish_use_subcommand\n";
  for (const Command& command : all_commands()) {
    const std::string path(command.path);
    const std::size_t blank = path.find(' ');
    const std::string word = path.substr(0, blank);
    std::string summary(command.summary);
    for (std::size_t at = 0; (at = summary.find('\'', at)) != std::string::npos; at += 2)
      summary.insert(at, "\\");
    if (blank == std::string::npos) {
      out += "complete -c ez -n __fish_use_subcommand -a " + word + " -d '" + summary + "'\n";
    } else {
      out += "complete -c ez -n __fish_use_subcommand -a " + word + "\n";
      out += "complete -c ez -f -n '__fish_seen_subcommand_from " + word + "' -a " + path.substr(blank + 1) +
             " -d '" + summary + "'\n";
    }
    for (const OptionSpec& option : command.options) {
      const std::size_t at = option.names.find("--");
      if (at == std::string_view::npos) continue;
      out += "complete -c ez -n '__fish_seen_subcommand_from " + word + "' -l " +
             std::string(option.names.substr(at + 2)) + (option.value.empty() ? "" : " -r") + "\n";
    }
  }
  return out;
}

Result<int> run_completion(Session& session, const Arguments& arguments) {
  const std::string shell = arguments.text("SHELL");
  if (shell == "bash") {
    session.out << bash();
  } else if (shell == "zsh") {
    session.out << zsh();
  } else if (shell == "fish") {
    session.out << fish();
  } else {
    return Error(Code::InvalidArgument, "'" + shell + "' is none of bash, zsh, fish");
  }
  return kExitOk;
}

}  // namespace

Command completion_command() {
  return {"completion",
          "Print the completion script of a shell",
          "  source <(ez completion bash)\n  ez completion fish > ~/.config/fish/completions/ez.fish\n",
          {},
          {{"SHELL", "bash, zsh or fish"}},
          false,
          run_completion};
}

}  // namespace ez::cli
