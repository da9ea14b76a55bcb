// The text of a YAML or JSON file as a tree of nodes that know their line and column. What a value means (a
// number, a duration, a template) is decided by whoever reads it; the tree only tells plain scalars from
// quoted ones.
//
// YAML: one document, block and flow style, anchors and aliases (an alias shares its anchor's node; the size
// of the expanded tree is bounded). Refused with line and column: several documents, duplicate keys, keys
// that are not plain text, merge keys (`<<`), tags other than the core ones, recursive aliases, tabs as
// indentation, control characters, bytes that are not UTF-8. JSON (RFC 8259) is read by a parser of its own,
// so that escapes and columns are right.
//
// Limits: SourceLimits; parsing does not recurse, to_value() at most max_depth deep. Columns count code
// points from 1. Threads: immutable once parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace ez::orchestration {

struct SourceLimits {
  std::size_t max_bytes = 16 * 1024 * 1024;
  std::uint32_t max_depth = 64;
  std::uint64_t max_nodes = 2'000'000;  // keys and values, aliases counted as often as they are used
};

struct Position {
  int line = 0;  // from 1; 0: the whole file
  int column = 0;
};

// Why a text is no tree.
struct SourceError {
  Position at;
  std::string message;
  std::string hint;
  bool too_large = false;  // a limit, not a mistake
};

using NodeId = std::uint32_t;

class SourceTree {
 public:
  enum class Kind : std::uint8_t {
    kNull,
    kPlain,
    kQuoted,
    kBlock,
    kList,
    kMap
  };  // kBlock: `|` and `>` scalars

  // Never throws or aborts on any bytes. `error` is set when the result is null.
  [[nodiscard]] static std::unique_ptr<const SourceTree> parse(std::string_view source, SourceError& error,
                                                               const SourceLimits& limits = {});

  [[nodiscard]] NodeId root() const { return root_; }
  [[nodiscard]] Kind kind(NodeId node) const { return nodes_[node].kind; }
  [[nodiscard]] bool is_scalar(NodeId node) const {
    return kind(node) == Kind::kPlain || kind(node) == Kind::kQuoted || kind(node) == Kind::kBlock;
  }
  [[nodiscard]] Position position(NodeId node) const { return nodes_[node].at; }
  // The text of a scalar; of a null the word it was written with. Lives as long as the tree.
  [[nodiscard]] std::string_view text(NodeId node) const;
  // Of a list its items, of a map key, value, key, value …; 0 for scalars.
  [[nodiscard]] std::size_t size(NodeId node) const { return is_collection(node) ? nodes_[node].count : 0; }
  [[nodiscard]] NodeId child(NodeId node, std::size_t index) const {
    return children_[nodes_[node].begin + index];
  }
  // The value of a map's key. Linear: maps of a workflow file are small, and large ones are walked.
  [[nodiscard]] std::optional<NodeId> find(NodeId map, std::string_view key) const;

  // Where byte `offset` of a scalar's text stands in the file; the scalar's own place where folding hides it.
  [[nodiscard]] Position position_in(NodeId node, std::size_t offset) const;

  // What YAML's core schema reads: null, bool, int, double, string, list, map. An integer beyond int64 is a
  // double.
  [[nodiscard]] Value to_value(NodeId node) const;

  [[nodiscard]] std::size_t node_count() const { return nodes_.size(); }

 private:
  friend class TreeBuilder;
  struct Node {
    Position at;
    std::uint32_t begin = 0;  // of the text in texts_ or of the children in children_
    std::uint32_t count = 0;
    Kind kind = Kind::kNull;
  };
  [[nodiscard]] bool is_collection(NodeId node) const {
    return kind(node) == Kind::kList || kind(node) == Kind::kMap;
  }
  [[nodiscard]] std::string_view line_text(std::size_t line) const;

  std::string source_;
  std::vector<std::uint32_t> line_starts_;  // byte offsets in source_
  std::string texts_;
  std::vector<Node> nodes_;
  std::vector<NodeId> children_;
  NodeId root_ = 0;
};

// A plain scalar as the core schema of YAML 1.2 reads it (JSON's numbers included): null, bool, int, double
// or string.
[[nodiscard]] Value plain_scalar_value(std::string_view text);

}  // namespace ez::orchestration
