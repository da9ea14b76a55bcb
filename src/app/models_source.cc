#include "app/models_source.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace ez::app {

Result<ModelsSource> read_models_source(const std::string& file, const std::string& data) {
  namespace fs = std::filesystem;
  fs::path path = file;
  if (path.empty()) {
    path = fs::path(data) / "models.yaml";
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return ModelsSource{"", data};
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error(Code::IoFailed, "read " + path.string());
  ModelsSource source;
  source.text.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  source.folder = fs::absolute(path).parent_path().string();
  return source;
}

}  // namespace ez::app
