// What the readers of a test file share. Internal to rehearsal/.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "orchestration/decoder.h"
#include "rehearsal/script.h"

namespace ez::rehearsal {

class Reader {
 public:
  // Both outlive the reader; mistakes go to the decoder.
  Reader(orchestration::Decoder& decoder, const orchestration::Workflow& workflow)
      : decoder_(decoder), tree_(decoder.tree), workflow_(workflow) {}

  // Each reports what is wrong and gives false or nothing then.
  [[nodiscard]] bool is_map(orchestration::NodeId node, std::string_view what, std::string_view example);
  [[nodiscard]] std::optional<std::int64_t> read_money(const orchestration::Fields& fields,
                                                       std::string_view key);
  // A task of the workflow, or an instance of one that has a for_each.
  [[nodiscard]] bool knows_task(orchestration::NodeId key);
  [[nodiscard]] bool fits(orchestration::NodeId node, std::string_view what);

  // read_expectations.cc
  [[nodiscard]] ExpectedRun read_expectations(orchestration::NodeId node);

 protected:
  [[nodiscard]] Place place(orchestration::NodeId node) const;

  orchestration::Decoder& decoder_;
  const orchestration::SourceTree& tree_;
  const orchestration::Workflow& workflow_;

 private:
  [[nodiscard]] std::optional<Expected<std::string>> read_code(const orchestration::Fields& fields,
                                                               std::string_view key);
  [[nodiscard]] std::optional<Expected<Range>> read_range(const orchestration::Fields& fields,
                                                          std::string_view key);
  void read_expected_tasks(const orchestration::Fields& fields, ExpectedRun& expected);
  [[nodiscard]] ExpectedTask read_expected_task(orchestration::NodeId key, orchestration::NodeId node);
  [[nodiscard]] std::optional<Expected<std::string>> read_task_state(orchestration::NodeId node);
};

}  // namespace ez::rehearsal
