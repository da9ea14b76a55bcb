#include "orchestration/tree_builder.h"

#include <algorithm>

#include "base/check.h"

namespace ez::orchestration {

bool TreeBuilder::fail(Position at, std::string message, std::string hint) {
  error_ = SourceError{at, std::move(message), std::move(hint), false};
  return false;
}

bool TreeBuilder::fail_too_large(Position at, std::string message, std::string hint) {
  error_ = SourceError{at, std::move(message), std::move(hint), true};
  return false;
}

bool TreeBuilder::expects_key() const {
  if (open_.empty() || tree_.kind(open_.back().node) != SourceTree::Kind::kMap) return false;
  return (pending_.size() - open_.back().mark) % 2 == 0;
}

NodeId TreeBuilder::new_node(Position at, SourceTree::Kind kind) {
  SourceTree::Node node;
  node.at = at;
  node.kind = kind;
  tree_.nodes_.push_back(node);
  return static_cast<NodeId>(tree_.nodes_.size() - 1);
}

std::size_t TreeBuilder::new_anchor(const std::string& name, NodeId node) {
  if (name.empty()) return 0;
  anchor_by_name_[name] = anchors_.size();
  anchors_.push_back(Anchor{node, 0, 0, 0, false});
  return anchors_.size();
}

// Hangs a node below the open collection and counts what it weighs when every alias is written out.
bool TreeBuilder::place(NodeId node, Position at, std::uint64_t weight, std::uint64_t bytes,
                        std::uint32_t height) {
  total_weight_ += weight;
  total_bytes_ += bytes;
  if (total_weight_ > limits_.max_nodes) {
    return fail_too_large(at,
                          "the file has more than " + std::to_string(limits_.max_nodes) + " keys and values",
                          "Split the file; aliases count as often as they are used.");
  }
  if (total_bytes_ > limits_.max_bytes) {
    return fail_too_large(at, "the texts have more than " + std::to_string(limits_.max_bytes) + " bytes",
                          "Move long texts into files; aliases count as often as they are used.");
  }
  if (open_.size() + height > limits_.max_depth) {
    return fail_too_large(at, "nested deeper than " + std::to_string(limits_.max_depth) + " levels",
                          "Flatten the structure.");
  }
  if (open_.empty()) {
    tree_.root_ = node;
    return true;
  }
  pending_.push_back(node);
  open_.back().weight += weight;
  open_.back().bytes += bytes;
  open_.back().height = std::max(open_.back().height, height + 1);
  return true;
}

bool TreeBuilder::add_scalar(Position at, SourceTree::Kind kind, std::string_view text,
                             const std::string& anchor) {
  const bool is_key = expects_key();
  if (kind == SourceTree::Kind::kPlain && (text.empty() || text == "null" || text == "~")) {
    kind = SourceTree::Kind::kNull;
  }
  if (is_key && kind == SourceTree::Kind::kNull) {
    return fail(at, "a key is missing before the `:`", "Write `key: value`.");
  }
  if (is_key && kind == SourceTree::Kind::kPlain && text == "<<") {
    return fail(at, "merge keys (`<<`) are not part of YAML 1.2",
                "Put what all tasks share under the top-level key `defaults`.");
  }
  const NodeId node = new_node(at, kind);
  tree_.nodes_[node].begin = static_cast<std::uint32_t>(tree_.texts_.size());
  tree_.nodes_[node].count = static_cast<std::uint32_t>(text.size());
  tree_.texts_.append(text);
  const std::size_t named = new_anchor(anchor, node);
  if (named != 0) {
    anchors_[named - 1].weight = 1;
    anchors_[named - 1].bytes = text.size();
    anchors_[named - 1].complete = true;
  }
  return place(node, at, 1, text.size(), 0);
}

bool TreeBuilder::begin(Position at, SourceTree::Kind kind, const std::string& anchor) {
  if (expects_key()) return fail(at, "a key must be a text, not a list or a map", "Write `key: value`.");
  if (open_.size() >= limits_.max_depth) {
    return fail_too_large(at, "nested deeper than " + std::to_string(limits_.max_depth) + " levels",
                          "Flatten the structure.");
  }
  const NodeId node = new_node(at, kind);
  Open open;
  open.node = node;
  open.mark = pending_.size();
  open.anchor = new_anchor(anchor, node);
  open_.push_back(open);
  return true;
}

bool TreeBuilder::end() {
  EZ_CHECK(!open_.empty(), "end of a collection that was never begun");
  const Open open = open_.back();
  const bool is_map = tree_.kind(open.node) == SourceTree::Kind::kMap;
  EZ_CHECK(!is_map || (pending_.size() - open.mark) % 2 == 0, "a map with a key that has no value");
  if (is_map && !check_keys(open)) return false;
  open_.pop_back();
  SourceTree::Node& node = tree_.nodes_[open.node];
  node.begin = static_cast<std::uint32_t>(tree_.children_.size());
  node.count = static_cast<std::uint32_t>(pending_.size() - open.mark);
  tree_.children_.insert(tree_.children_.end(), pending_.begin() + static_cast<std::ptrdiff_t>(open.mark),
                         pending_.end());
  pending_.resize(open.mark);
  if (open.anchor != 0) {
    anchors_[open.anchor - 1].weight = open.weight;
    anchors_[open.anchor - 1].bytes = open.bytes;
    anchors_[open.anchor - 1].height = open.height;
    anchors_[open.anchor - 1].complete = true;
  }
  // The children were counted when they were placed; the collection itself weighs one.
  total_weight_ -= open.weight - 1;
  total_bytes_ -= open.bytes;
  return place(open.node, node.at, open.weight, open.bytes, open.height);
}

bool TreeBuilder::add_alias(Position at, std::string_view anchor) {
  if (expects_key()) return fail(at, "an alias cannot be a key", "Write the key out.");
  const auto found = anchor_by_name_.find(std::string(anchor));
  if (found != anchor_by_name_.end()) {
    const Anchor& target = anchors_[found->second];
    if (target.complete) return place(target.node, at, target.weight, target.bytes, target.height);
    return fail(at, "the alias `*" + std::string(anchor.substr(0, 60)) + "` stands inside its own anchor",
                "Write the value out.");
  }
  return fail(
      at, "the alias `*" + std::string(anchor.substr(0, 60)) + "` has no anchor before it",
      "Define `&" + std::string(anchor.substr(0, 60)) + "` first, or quote a text that starts with `*`.");
}

bool TreeBuilder::check_keys(const Open& open) {
  keys_.clear();
  for (std::size_t i = open.mark; i < pending_.size(); i += 2) {
    keys_.emplace_back(tree_.text(pending_[i]), pending_[i]);
  }
  const NodeId* twice = nullptr;
  if (keys_.size() <= 8) {
    for (std::size_t i = 1; i < keys_.size() && twice == nullptr; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (keys_[i].first == keys_[j].first) twice = &keys_[i].second;
      }
    }
  } else {
    std::sort(keys_.begin(), keys_.end());
    for (std::size_t i = 1; i < keys_.size() && twice == nullptr; ++i) {
      if (keys_[i - 1].first == keys_[i].first) twice = &keys_[i].second;
    }
  }
  if (twice == nullptr) return true;
  return fail(tree_.position(*twice),
              "the key `" + std::string(tree_.text(*twice).substr(0, 60)) + "` is there twice",
              "Remove one of the two.");
}

void TreeBuilder::finish() {
  EZ_CHECK(open_.empty(), "a collection was not ended");
  tree_.nodes_.shrink_to_fit();
}

}  // namespace ez::orchestration
