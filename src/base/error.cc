#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <iterator>

namespace ez {
namespace {

constexpr CodeInfo kCatalog[] = {
#define EZ_ERROR(id, name, http, exit, retry, hint) {Code::id, name, http, exit, retry, hint},
#include "base/error_catalog.def"
#undef EZ_ERROR
};

}  // namespace

const CodeInfo& info(Code code) { return kCatalog[static_cast<std::size_t>(code)]; }

const CodeInfo* find_code(std::string_view name) {
  for (const CodeInfo& entry : kCatalog) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::string Error::to_string() const {
  std::string text(name());
  text += ": ";
  text += message_;
  if (!hint().empty()) {
    text += " (";
    text += hint();
    text += ")";
  }
  return text;
}

Error Error::in(std::string_view context) const {
  return Error(code_, std::string(context) + ": " + message_, hint_);
}

Error system_error(Code otherwise, Code full_code, std::string_view what, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  return Error(full ? full_code : otherwise, std::string(what) + ": " + std::strerror(error_number));
}

}  // namespace ez
