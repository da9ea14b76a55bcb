// YAML into a tree, over the events of libyaml (docs/adr/0005-libyaml.md says why not yaml-cpp). The only
// file that knows the library.
#include <yaml.h>

#include <memory>

#include "orchestration/tree_builder.h"

namespace ez::orchestration {
namespace {

Position to_position(const yaml_mark_t& mark) {
  return Position{static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1};
}

std::string to_text(const yaml_char_t* text) {
  return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text));
}

struct Explanation {
  std::string_view problem;  // libyaml's words
  std::string_view message;  // ours
  std::string_view hint;
};

constexpr Explanation kExplanations[] = {
    {"mapping values are not allowed in this context", "a `:` where no key can stand",
     "Check the indentation; put a text that contains `: ` in quotes."},
    {"did not find expected key", "the line is neither a key of this map nor part of its last value",
     "Check the indentation; put a text that goes on after a closing quote in quotes as a whole."},
    {"did not find expected '-' indicator", "the line is not an item of this list",
     "Check the indentation; items start with `- `."},
    {"did not find expected ',' or ']'", "a list in `[ ]` goes on with neither `,` nor `]`",
     "Put texts with special characters, such as ${{ }}, in quotes inside [ ]."},
    {"did not find expected ',' or '}'", "a map in `{ }` goes on with neither `,` nor `}`",
     "Put texts with special characters, such as ${{ }}, in quotes inside { }."},
    {"could not find expected ':'", "a key without `:`",
     "Write `key: value`; use `|` for a text of several lines."},
    {"found unexpected end of stream", "a quoted text or a bracket has no end",
     "Add the closing quote or bracket."},
    {"found unexpected document indicator", "a quoted text has no end before the document ends",
     "Add the closing quote."},
    {"did not find expected node content",
     "a value is missing or starts with a character that has a meaning in YAML", "Put the text in quotes."},
    {"block sequence entries are not allowed in this context", "a list item where none can stand",
     "Start the list on a line of its own, or write it as [a, b]."},
    {"found unknown escape character", "an unknown escape in a text in double quotes",
     "Write a backslash as \\\\, or use single quotes."},
    {"did not find expected <document start>", "a second document, or text after the end of the first",
     "A file holds one workflow; check that the whole text is indented below its key."},
    {"control characters are not allowed", "a control character",
     "Remove it; write it as an escape in double quotes."},
};

class YamlReader {
 public:
  YamlReader(std::string_view source, TreeBuilder& builder) : source_(source), builder_(builder) {}
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;
  ~YamlReader() {
    if (initialized_) yaml_parser_delete(&parser_);
  }

  bool read() {
    if (yaml_parser_initialize(&parser_) == 0) return builder_.fail({}, "out of memory");
    initialized_ = true;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(source_.data()),
                                 source_.size());
    for (;;) {
      yaml_event_t event;
      if (yaml_parser_parse(&parser_, &event) == 0) return explain();
      const bool is_last = event.type == YAML_STREAM_END_EVENT;
      const bool taken = take(event);
      yaml_event_delete(&event);
      if (!taken) return false;
      if (is_last) break;
    }
    return documents_ > 0 || builder_.fail({1, 1}, "the file is empty");
  }

 private:
  bool take(const yaml_event_t& event) {
    const Position at = to_position(event.start_mark);
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (++documents_ > 1) {
          return builder_.fail(at, "a second document starts here",
                               "A file holds one document; remove the `---`.");
        }
        return true;
      case YAML_SCALAR_EVENT: {
        const auto& scalar = event.data.scalar;
        auto kind = SourceTree::Kind::kQuoted;
        if (scalar.style == YAML_PLAIN_SCALAR_STYLE) kind = SourceTree::Kind::kPlain;
        if (scalar.style == YAML_LITERAL_SCALAR_STYLE || scalar.style == YAML_FOLDED_SCALAR_STYLE) {
          kind = SourceTree::Kind::kBlock;
        }
        if (scalar.tag != nullptr) {
          if (!check_tag(at, scalar.tag)) return false;
          if (kind == SourceTree::Kind::kPlain) kind = SourceTree::Kind::kQuoted;  // `!!str 5` is a text
        }
        const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
        return builder_.add_scalar(at, kind, text, to_text(scalar.anchor));
      }
      case YAML_SEQUENCE_START_EVENT:
        if (event.data.sequence_start.tag != nullptr && !check_tag(at, event.data.sequence_start.tag))
          return false;
        return builder_.begin(at, SourceTree::Kind::kList, to_text(event.data.sequence_start.anchor));
      case YAML_MAPPING_START_EVENT:
        if (event.data.mapping_start.tag != nullptr && !check_tag(at, event.data.mapping_start.tag))
          return false;
        return builder_.begin(at, SourceTree::Kind::kMap, to_text(event.data.mapping_start.anchor));
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        return builder_.end();
      case YAML_ALIAS_EVENT:
        return builder_.add_alias(at, to_text(event.data.alias.anchor));
      default:
        return true;
    }
  }

  bool check_tag(Position at, const yaml_char_t* tag) {
    const std::string text = to_text(tag);
    if (text == "!" || text == "tag:yaml.org,2002:str") return true;
    return builder_.fail(at, "the tag `" + text.substr(0, 60) + "` is not supported", "Remove the tag.");
  }

  // Turns libyaml's report into one with a cause and a remedy.
  bool explain() {
    if (parser_.error == YAML_MEMORY_ERROR) return builder_.fail({}, "out of memory");
    const std::string problem = parser_.problem == nullptr ? "cannot be read" : parser_.problem;
    Position at = to_position(parser_.problem_mark);
    if (parser_.error == YAML_READER_ERROR) at = position_of(parser_.problem_offset);
    std::string message = problem;
    std::string hint;
    if (problem == "found character that cannot start any token") {
      const char c = byte_at(parser_.problem_mark);
      if (c == '\t') {
        message = "a tab where YAML wants spaces";
        hint = "Indent with spaces.";
      } else {
        message = std::string("a value cannot start with `") + c + "`";
        hint = "Put the text in quotes.";
      }
    } else {
      for (const Explanation& known : kExplanations) {
        if (problem == known.problem) {
          message = known.message;
          hint = known.hint;
        }
      }
    }
    if (parser_.context != nullptr && parser_.error != YAML_READER_ERROR) {
      const Position start = to_position(parser_.context_mark);
      if (start.line != at.line || start.column != at.column) {
        message += " (" + std::string(parser_.context) + " that starts at " + std::to_string(start.line) +
                   ":" + std::to_string(start.column) + ")";
      }
    }
    return builder_.fail(at, "YAML: " + message, hint);
  }

  // mark.index counts code points.
  [[nodiscard]] char byte_at(const yaml_mark_t& mark) const {
    std::size_t left = mark.index;
    std::size_t i = source_.starts_with("\xEF\xBB\xBF") ? 3 : 0;
    for (; i < source_.size(); ++i) {
      if ((static_cast<unsigned char>(source_[i]) & 0xC0U) == 0x80U) continue;
      if (left-- == 0) return source_[i];
    }
    return '?';
  }

  [[nodiscard]] Position position_of(std::size_t offset) const {
    Position at{1, 1};
    for (std::size_t i = 0; i < offset && i < source_.size(); ++i) {
      if (source_[i] == '\n') {
        ++at.line;
        at.column = 1;
      } else if ((static_cast<unsigned char>(source_[i]) & 0xC0U) != 0x80U) {
        ++at.column;
      }
    }
    return at;
  }

  std::string_view source_;
  TreeBuilder& builder_;
  yaml_parser_t parser_{};
  bool initialized_ = false;
  int documents_ = 0;
};

}  // namespace

bool build_from_yaml(std::string_view source, TreeBuilder& builder) {
  return YamlReader(source, builder).read();
}

}  // namespace ez::orchestration
