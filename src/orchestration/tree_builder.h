// Builds a SourceTree from the events of a parser and holds its limits. Internal to source_*.cc.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "orchestration/source_tree.h"

namespace ez::orchestration {

class TreeBuilder {
 public:
  TreeBuilder(SourceTree& tree, const SourceLimits& limits) : tree_(tree), limits_(limits) {}

  // Each returns false when a limit or a rule is broken; error() then says which.
  [[nodiscard]] bool add_scalar(Position at, SourceTree::Kind kind, std::string_view text,
                                const std::string& anchor = {});
  [[nodiscard]] bool begin(Position at, SourceTree::Kind kind, const std::string& anchor = {});
  [[nodiscard]] bool end();
  [[nodiscard]] bool add_alias(Position at, std::string_view anchor);
  // After the last event.
  void finish();

  [[nodiscard]] bool fail(Position at, std::string message, std::string hint = {});
  [[nodiscard]] bool fail_too_large(Position at, std::string message, std::string hint);
  [[nodiscard]] SourceError& error() { return error_; }
  // The parser stands before the key of a map.
  [[nodiscard]] bool expects_key() const;
  [[nodiscard]] std::size_t depth() const { return open_.size(); }

 private:
  struct Open {
    NodeId node = 0;
    std::size_t mark = 0;  // where its children start in pending_
    std::uint64_t weight = 1;
    std::uint64_t bytes = 0;
    std::uint32_t height = 0;
    std::size_t anchor = 0;  // index in anchors_ plus one; 0: none
  };
  struct Anchor {
    NodeId node = 0;
    std::uint64_t weight = 0;  // nodes of the expanded subtree
    std::uint64_t bytes = 0;   // its texts
    std::uint32_t height = 0;
    bool complete = false;
  };

  [[nodiscard]] bool place(NodeId node, Position at, std::uint64_t weight, std::uint64_t bytes,
                           std::uint32_t height);
  [[nodiscard]] bool check_keys(const Open& open);
  [[nodiscard]] NodeId new_node(Position at, SourceTree::Kind kind);
  [[nodiscard]] std::size_t new_anchor(const std::string& name, NodeId node);

  SourceTree& tree_;
  SourceLimits limits_;
  SourceError error_;
  std::vector<Open> open_;
  std::vector<NodeId> pending_;
  std::vector<Anchor> anchors_;
  std::unordered_map<std::string, std::size_t> anchor_by_name_;  // the last of each name; never iterated
  std::uint64_t total_weight_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::vector<std::pair<std::string_view, NodeId>> keys_;  // scratch of check_keys
};

// Feeds a JSON text or a YAML text into the builder; false when it stopped with an error.
[[nodiscard]] bool build_from_json(std::string_view source, TreeBuilder& builder);
[[nodiscard]] bool build_from_yaml(std::string_view source, TreeBuilder& builder);

}  // namespace ez::orchestration
