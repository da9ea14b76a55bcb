// The tables of `ez top`: rows of texts from what the API says. Internal to top_view.cc and its snapshot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/top_view.h"

namespace ez::cli {

struct TopTable {
  struct Row {
    std::string id;
    std::string state;  // for its mark; empty: none
    std::vector<std::string> cells;
  };
  std::vector<std::string> head;
  std::size_t wide = 0;              // the column that gives way when the width does not suffice
  std::vector<std::size_t> numbers;  // columns that are set to the right
  std::vector<Row> rows;
  std::string nothing;  // what to say when there are no rows
};

[[nodiscard]] TopTable top_table(const TopData& data, TopTab tab, std::int64_t now_ms);

// Lines of at most `width` code points: the head, then a line for each row.
[[nodiscard]] std::vector<std::string> table_lines(const TopTable& table, std::size_t width);

// The figures above the tables, two lines without marks and colours.
[[nodiscard]] std::vector<std::string> top_figures(const TopData& data, std::int64_t now_ms);

}  // namespace ez::cli
