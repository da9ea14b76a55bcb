#include "orchestration/agent_types_cli.h"

#include <algorithm>

#include "orchestration/decoder.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 7> kCliKeys{"command", "env",     "files", "leaves",
                                                   "events",  "silence", "linger"};
constexpr std::size_t kMaxLeaves = 20;
constexpr std::array<std::string_view, 6> kPlaceholders{"prompt",  "prompt_file", "model",
                                                        "gateway", "key",         "max_turns"};
constexpr std::size_t kMaxPathBytes = 200;

// Calls `found` for each "{name}" with where it begins; names are lower-case letters and `_`.
void each_placeholder(std::string_view text,
                      const std::function<void(std::string_view name, std::size_t at)>& found) {
  for (std::size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
    std::size_t end = at + 1;
    while (end < text.size() && ((text[end] >= 'a' && text[end] <= 'z') || text[end] == '_')) ++end;
    if (end > at + 1 && end < text.size() && text[end] == '}') found(text.substr(at + 1, end - at - 1), at);
  }
}

bool is_variable(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name.size() <= 100 && (name[0] < '0' || name[0] > '9') &&
         std::all_of(name.begin(), name.end(), good);
}

// Below the home: relative, without empty, "." or ".." parts.
bool is_path_below(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes || path.find('\0') != std::string_view::npos) return false;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

class CliReader {
 public:
  CliReader(Decoder& decoder, CliAgent& out) : decoder_(decoder), out_(out) {}

  void read(NodeId node) {
    if (decoder_.tree.kind(node) != SourceTree::Kind::kMap) {
      decoder_.error(node, "`cli` must be a map", "Write `cli: {command: [PROGRAM, \"{prompt}\"]}`.");
      return;
    }
    const Fields fields(decoder_, node, "`cli`", kCliKeys);
    read_command(fields);
    read_texts(fields, "env", out_.env, "a variable", is_variable);
    read_texts(fields, "files", out_.files, "a path below the agent's home", is_path_below);
    read_leaves(fields);
    if (const auto events = fields.read_word("events", kCliEvents)) out_.events = kCliEvents[*events];
    fields.read_duration("silence", out_.silence_ms, 1'000, false);
    fields.read_duration("linger", out_.linger_ms, 100, false);
    if (!decoder_.has_errors() && !mentions(out_, "{prompt}") && !mentions(out_, "{prompt_file}"))
      decoder_.error(node, "nothing tells the agent its task",
                     "Name {prompt} in the command, or {prompt_file} somewhere.");
  }

 private:
  void read_command(const Fields& fields) {
    if (!fields.get("command")) return;
    std::vector<std::string> words;
    for (const NodeId node :
         fields.read_list("command", kMaxCliWords, "command: [claude, -p, \"{prompt}\"]")) {
      const auto word = text_of(node, "a word of the command");
      if (!word) continue;
      check_placeholders(node, *word, true);
      words.push_back(*word);
    }
    if (words.empty() || words[0].empty() || words[0][0] == '-' || words[0][0] == '{') {
      if (!decoder_.has_errors())
        decoder_.error(*fields.get("command"), "`command` does not begin with a program",
                       "Write `command: [claude, -p, \"{prompt}\"]`.");
      return;
    }
    out_.command = std::move(words);
  }

  void read_leaves(const Fields& fields) {
    if (!fields.get("leaves")) return;
    out_.leaves.clear();
    for (const NodeId node : fields.read_list("leaves", kMaxLeaves, "leaves: [\".mine*\"]")) {
      const auto glob = text_of(node, "a pattern of names");
      if (!glob) continue;
      if (glob->size() < 2 || glob->front() != '.' || glob->find('/') != std::string::npos || *glob == ".*") {
        decoder_.error(node, quoted(*glob) + " is not a pattern of names that begin with a dot",
                       "Write what only this agent leaves, for example `.mine*`.");
      } else {
        out_.leaves.push_back(*glob);
      }
    }
  }

  void read_texts(const Fields& fields, std::string_view key, CliAgent::Texts& out, std::string_view what,
                  bool (*is_good)(std::string_view)) {
    const auto map = fields.get(key);
    if (!map) return;
    const SourceTree& tree = decoder_.tree;
    if (tree.kind(*map) != SourceTree::Kind::kMap) {
      decoder_.error(*map, "`" + std::string(key) + "` must be a map", "Write `NAME: TEXT` below it.");
      return;
    }
    for (std::size_t i = 0; i < tree.size(*map); i += 2) {
      const NodeId name = tree.child(*map, i);
      const NodeId node = tree.child(*map, i + 1);
      const std::string text_name(tree.text(name));
      const auto text = text_of(node, "the text of " + quoted(text_name));
      if (!is_good(text_name)) {
        decoder_.error(name, quoted(text_name) + " is not " + std::string(what));
      } else if (text) {
        check_placeholders(node, *text, false);
        const auto same =
            std::find_if(out.begin(), out.end(), [&](const auto& entry) { return entry.first == text_name; });
        if (same != out.end()) {
          same->second = *text;
        } else {
          out.emplace_back(text_name, *text);
        }
      }
    }
    if (out.size() > kMaxCliTexts)
      decoder_.error(*map, "there are more than " + std::to_string(kMaxCliTexts) + " of them");
  }

  std::optional<std::string> text_of(NodeId node, const std::string& what) {
    const std::string_view text = decoder_.tree.text(node);
    if (!decoder_.tree.is_scalar(node) || text.size() > kMaxCliTextBytes ||
        text.find('\0') != std::string_view::npos) {
      decoder_.error(node, what + " must be a text of at most 64 KiB");
      return std::nullopt;
    }
    return std::string(text);
  }

  void check_placeholders(NodeId node, std::string_view text, bool in_command) {
    each_placeholder(text, [&](std::string_view name, std::size_t at) {
      if (std::find(kPlaceholders.begin(), kPlaceholders.end(), name) == kPlaceholders.end()) {
        decoder_.error_in(
            node, at,
            "there is no placeholder {" + std::string(name) + "}" + did_you_mean(name, kPlaceholders));
      } else if (in_command && name == "key") {
        decoder_.error_in(node, at, "{key} cannot stand in the command, which other users can see",
                          "Give it as a variable (`env`) or in a file (`files`).");
      } else if (!in_command && name == "prompt") {
        decoder_.error_in(node, at, "{prompt} can stand in the command only", "Use {prompt_file}.");
      }
    });
  }

  Decoder& decoder_;
  CliAgent& out_;
};

}  // namespace

void read_cli_agent(Decoder& decoder, NodeId node, CliAgent& out) { CliReader(decoder, out).read(node); }

std::string fill_placeholders(std::string_view text,
                              const std::function<std::string(std::string_view)>& value_of) {
  std::string out;
  std::size_t done = 0;
  each_placeholder(text, [&](std::string_view name, std::size_t at) {
    out += text.substr(done, at - done);
    out += value_of(name);
    done = at + name.size() + 2;
  });
  out += text.substr(done);
  return out;
}

bool mentions(const CliAgent& cli, std::string_view text) {
  const auto has = [&](const std::string& where) { return where.find(text) != std::string::npos; };
  const auto value_has = [&](const auto& entry) { return has(entry.second); };
  return std::any_of(cli.command.begin(), cli.command.end(), has) ||
         std::any_of(cli.env.begin(), cli.env.end(), value_has) ||
         std::any_of(cli.files.begin(), cli.files.end(), value_has);
}

}  // namespace ez::orchestration
