#include "cli/conflict_text.h"

#include <algorithm>

#include "cli/run_picture.h"
#include "cli/text.h"

namespace ez::cli {

std::string conflict_text(const Value& view, const std::string& indent) {
  std::string out;
  if (const Value* resolver = view.find("resolver"); resolver != nullptr && resolver->is_map()) {
    const std::string type = printable(resolver->string_or("agent_type", ""));
    const Value* tries = resolver->find("tries");
    if (tries != nullptr && tries->is_list()) {
      for (const Value& one : tries->as_list()) {
        const std::string error = error_text(one);
        out += indent + "resolver " + type + ", try " + std::to_string(one.int_or("number", 0)) + ": " +
               (error.empty() ? "settled it" : printable(error)) + "\n";
      }
    }
  }
  std::string text(view.string_or("conflict", ""));
  if (view.string_or("state", "conflict") != "conflict") text.clear();  // it was settled since
  std::size_t lines = 0;
  for (std::size_t at = 0; at < text.size(); ++lines) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (lines == kMaxConflictLines) {
      out += indent + "… the rest: --json\n";
      break;
    }
    out += indent + printable(text.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  return out;
}

}  // namespace ez::cli
