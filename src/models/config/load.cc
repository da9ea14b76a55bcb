#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

#include "models/config/config.h"
#include "models/config/reader.h"
#include "models/config/ready_made.h"
#include "orchestration/source_tree.h"
#include "orchestration/text.h"

namespace ez::models {
namespace {

constexpr std::size_t kMaxConfigBytes = 1024 * 1024;
constexpr std::size_t kMaxSecretBytes = 4096;
constexpr std::uint32_t kMaxCalls = 4096;

// A key is printable ASCII without spaces: anything else would make a header of its own.
bool is_secret(std::string_view text) {
  return !text.empty() && text.size() <= kMaxSecretBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::string trimmed(std::string_view text) {
  const std::size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return {};
  return std::string(text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1));
}

Result<std::string> read_file(const std::string& folder, const std::string& name) {
  const std::string path = name.starts_with('/') ? name : folder + "/" + name;
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error(Code::IoFailed, "read " + path);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.size() > kMaxConfigBytes) return Error(Code::PayloadTooLarge, path + " has more than 1 MiB");
  return text;
}

class Loader {
 public:
  Loader(const LoadOptions& options, const Environment& environment)
      : options_(options), folder_(options.folder), environment_(environment) {}

  Result<ModelsConfig> load(const Value& file) {
    Reader root(file, "");
    EZ_TRY(read_rest(root));
    const Value* providers = root.get("providers");
    if (providers != nullptr && !providers->is_map()) root.fail("providers", "must be a map");
    for (const ReadyMade& made : ready_made()) {
      const Value* own = providers == nullptr ? nullptr : providers->find(made.provider.name);
      EZ_TRY(add(made.provider, made.key_names, own == nullptr ? Value() : *own, true));
    }
    if (providers != nullptr && providers->is_map()) {
      for (const auto& [name, own] : providers->as_map()) {
        if (known_.end() != std::find(known_.begin(), known_.end(), name)) continue;
        Provider provider;
        provider.name = name;
        EZ_TRY(add(std::move(provider), {}, own, false));
      }
    }
    EZ_TRY(read_names(root));
    EZ_TRY(read_agents(root));
    EZ_TRY(read_prices(root));
    EZ_TRY(root.done());
    return std::move(config_);
  }

 private:
  Status add(Provider provider, std::vector<std::string> key_names, const Value& own, bool ready) {
    known_.push_back(provider.name);
    if (known_.size() > kMaxProviders) {
      return Error(Code::ModelsConfigInvalid, "providers: at most " + std::to_string(kMaxProviders));
    }
    Reader reader(own, "providers." + provider.name);
    if (!orchestration::is_name(provider.name)) reader.fail("", "this is no name of a provider");
    const bool enabled = reader.flag("enabled").value_or(true);
    if (const auto url = reader.text("base_url")) provider.base_url = *url;
    while (provider.base_url.ends_with('/')) provider.base_url.pop_back();
    if (!provider.base_url.starts_with("http://") && !provider.base_url.starts_with("https://")) {
      reader.fail("base_url", "must begin with http:// or https://");
    }
    read_dialects(reader, provider);
    if (const auto models = reader.texts("models", kMaxModelNames)) provider.models = *models;
    provider.free = reader.flag("free").value_or(false);
    provider.max_calls =
        static_cast<std::uint32_t>(reader.number("max_calls", 1, kMaxCalls).value_or(provider.max_calls));
    read_traits(reader, provider.traits);
    read_headers(reader, provider);
    read_timeouts(reader, provider.timeouts);
    const bool needed = reader.flag("key_required").value_or(ready);
    read_keys(reader, provider, std::move(key_names));
    EZ_TRY(reader.done());
    // A recording answers without a key.
    const bool recorded =
        config_.cassette_mode == CassetteMode::kReplay || config_.cassette_mode == CassetteMode::kStrict;
    if (provider.keys.empty() && (!needed || recorded)) provider.keys.push_back({provider.name, ""});
    if (enabled && !provider.keys.empty()) config_.providers.push_back(std::move(provider));
    return {};
  }

  static void read_dialects(Reader& reader, Provider& provider) {
    if (const auto names = reader.texts("dialects", 3)) {
      provider.dialects.clear();
      for (const std::string& name : *names) {
        if (const auto dialect = find_dialect(name)) {
          provider.dialects.push_back(*dialect);
        } else {
          reader.fail("dialects",
                      "there are anthropic-messages, openai-chat and openai-responses, not " + name);
        }
      }
    }
    if (provider.dialects.empty()) provider.dialects.push_back(Dialect::kOpenAiChat);
  }

  static void read_traits(Reader& reader, UpstreamTraits& traits) {
    Reader inner(reader.get("traits") == nullptr ? Value() : *reader.get("traits"), reader.path("traits"));
    traits.max_completion_tokens = inner.flag("max_completion_tokens").value_or(traits.max_completion_tokens);
    traits.developer_role = inner.flag("developer_role").value_or(traits.developer_role);
    traits.stream_usage = inner.flag("stream_usage").value_or(traits.stream_usage);
    traits.reasoning_content = inner.flag("reasoning_content").value_or(traits.reasoning_content);
    traits.short_tool_ids = inner.flag("short_tool_ids").value_or(traits.short_tool_ids);
    traits.reasoning_effort = inner.flag("reasoning_effort").value_or(traits.reasoning_effort);
    traits.output_effort = inner.flag("output_effort").value_or(traits.output_effort);
    traits.sampling = inner.flag("sampling").value_or(traits.sampling);
    traits.forced_tools = inner.flag("forced_tools").value_or(traits.forced_tools);
    traits.json_schema = inner.flag("json_schema").value_or(traits.json_schema);
    traits.store = inner.flag("store").value_or(traits.store);
    traits.default_max_tokens =
        inner.number("default_max_tokens", 1, 1'000'000).value_or(traits.default_max_tokens);
    if (const Status status = inner.done(); !status.ok()) reader.fail(status.error());
  }

  static void read_headers(Reader& reader, Provider& provider) {
    const Value* headers = reader.get("headers");
    if (headers == nullptr) return;
    if (!headers->is_map() || headers->as_map().size() > 32) return reader.fail("headers", "must be a map");
    for (const auto& [name, value] : headers->as_map()) {
      const bool proper = value.is_string() && is_secret(name) && name.find(':') == std::string::npos &&
                          value.as_string().find_first_of("\r\n") == std::string::npos;
      if (!proper) return reader.fail("headers", "must be names and texts of one line");
      provider.headers.emplace_back(name, value.as_string());
    }
  }

  static void read_timeouts(Reader& reader, HttpTimeouts& timeouts) {
    const Value* value = reader.get("timeouts");
    if (value == nullptr) return;
    Reader inner(*value, reader.path("timeouts"));
    const auto read = [&](std::string_view key, std::chrono::milliseconds& out) {
      if (const auto ms = inner.duration_ms(key)) out = std::chrono::milliseconds(*ms);
    };
    read("connect", timeouts.connect);
    read("first_byte", timeouts.first_byte);
    read("silence", timeouts.silence);
    if (const Status status = inner.done(); !status.ok()) reader.fail(status.error());
  }

  void read_keys(Reader& reader, Provider& provider, std::vector<std::string> key_names) {
    std::vector<std::string> secrets;
    if (const Value* keys = reader.get("keys")) {
      key_names.clear();
      if (!keys->is_list() || keys->as_list().size() > kMaxKeys) {
        return reader.fail("keys", "must be a list of at most " + std::to_string(kMaxKeys));
      }
      for (std::size_t i = 0; i < keys->as_list().size(); ++i) {
        const Value& item = keys->as_list()[i];
        Reader inner(item, reader.path("keys[" + std::to_string(i) + "]"));
        const auto env = inner.text("env");
        const auto file = inner.text("file");
        const auto value = inner.text("value");
        if (env.has_value() + file.has_value() + value.has_value() != 1) {
          inner.fail("", "give one of env, file and value");
        }
        if (env) key_names.push_back(*env);
        if (value) secrets.push_back(*value);
        if (file) {
          auto text = read_file(folder_, *file);
          if (!text.ok()) inner.fail(text.error());
          if (text.ok()) secrets.push_back(trimmed(*text));
        }
        if (const Status status = inner.done(); !status.ok()) return reader.fail(status.error());
      }
    }
    for (const std::string& name : key_names) add_from_environment(name, secrets);
    for (const std::string& secret : secrets) {
      if (!is_secret(secret)) {
        reader.fail("keys", "a key has characters that no key has");
        continue;
      }
      const bool twice = std::any_of(provider.keys.begin(), provider.keys.end(),
                                     [&](const ProviderKey& key) { return key.secret == secret; });
      if (twice || provider.keys.size() >= kMaxKeys) continue;
      provider.keys.push_back({provider.name + "-" + std::to_string(provider.keys.size() + 1), secret});
    }
  }

  void add_from_environment(const std::string& name, std::vector<std::string>& secrets) const {
    const auto add = [&](const std::string& variable) {
      if (const auto value = environment_(variable)) {
        if (std::string key = trimmed(*value); !key.empty()) secrets.push_back(std::move(key));
      }
    };
    add(name);
    for (std::size_t i = 1; i <= kMaxKeys; ++i) add(name + "_" + std::to_string(i));
    const auto list = environment_(name + "S");
    if (!list) return;
    std::string_view rest = *list;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find_first_of(", \t\r\n;"), rest.size());
      if (end > 0) secrets.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

  Status read_names(Reader& root) {
    const Value* names = root.get("models");
    if (names == nullptr) return {};
    if (!names->is_map() || names->as_map().size() > kMaxModelNames) {
      root.fail("models", "must be a map of at most " + std::to_string(kMaxModelNames));
      return root.done();
    }
    for (const auto& [name, value] : names->as_map()) {
      ModelName known;
      known.name = name;
      Reader reader(value, "models." + name);
      for (const std::string& text :
           reader.texts("targets", kMaxTargets).value_or(std::vector<std::string>{})) {
        const std::size_t slash = text.find('/');
        const std::string provider = text.substr(0, slash);
        if (slash == std::string::npos || slash + 1 == text.size() ||
            std::find(known_.begin(), known_.end(), provider) == known_.end()) {
          reader.fail("targets", "must be of the form PROVIDER/MODEL, with a known provider: " + text);
        } else if (config_.find(provider) != nullptr) {
          known.targets.push_back({provider, text.substr(slash + 1)});
        }
      }
      EZ_TRY(reader.done());
      // Without a key for any of its targets the name is unknown here.
      if (!known.targets.empty()) config_.names.push_back(std::move(known));
    }
    return {};
  }

  Status read_agents(Reader& root) {
    const Value* agents = root.get("agents");
    if (agents == nullptr) return {};
    if (!agents->is_map()) root.fail("agents", "must be a map");
    Reader reader(*agents, "agents");
    if (agents->is_map()) {
      for (const auto& [type, value] : agents->as_map()) {
        if (const auto patterns = reader.texts(type, kMaxModelNames)) config_.agents[type] = *patterns;
      }
    }
    return reader.done();
  }

  Status read_prices(Reader& root) {
    config_.prices = std::make_shared<const PriceTable>(PriceTable::builtin());
    if (const auto file = root.text("prices")) {
      EZ_ASSIGN(const std::string text, read_file(folder_, *file));
      EZ_ASSIGN(const PriceTable own, PriceTable::parse(text));
      config_.prices = std::make_shared<const PriceTable>(config_.prices->with(own));
    }
    return {};
  }

  Status read_hedge(Reader& root) {
    const Value* hedge = root.get("hedge");
    if (hedge == nullptr) return {};
    Reader reader(*hedge, "hedge");
    const auto after = reader.duration_ms("after");
    if (!after) reader.fail("after", "is missing");
    if (const Value* share = reader.get("max_share")) {
      const double part = share->is_double() ? share->as_double()
                          : share->is_int()  ? static_cast<double>(share->as_int())
                                             : 0;
      if (part >= 0.001 && part <= 1) {
        config_.hedge_max_permille = std::lround(part * 1'000);
      } else {
        reader.fail("max_share", "must be a number from 0.001 to 1");
      }
    }
    EZ_TRY(reader.done());
    config_.hedge_after = std::chrono::milliseconds(*after);
    return {};
  }

  Status read_rest(Reader& root) {
    config_.max_attempts =
        static_cast<std::uint32_t>(root.number("max_attempts", 1, 16).value_or(config_.max_attempts));
    if (const auto ms = root.duration_ms("max_wait")) config_.max_wait = std::chrono::milliseconds(*ms);
    EZ_TRY(read_hedge(root));
    const Value* cassette = root.get("cassette");
    if (!options_.cassette_file.empty()) {
      const auto given =
          find_cassette_mode(options_.cassette_mode.empty() ? "replay" : options_.cassette_mode);
      if (!given) {
        return Error(Code::InvalidArgument,
                     "the modes of a cassette are record, replay and strict, not " + options_.cassette_mode);
      }
      config_.cassette_mode = *given;
      config_.cassette_file = options_.cassette_file;
      return {};
    }
    if (cassette == nullptr) return {};
    Reader reader(*cassette, "cassette");
    const auto file = reader.text("file");
    const auto mode = find_cassette_mode(reader.text("mode").value_or("replay"));
    if (!mode) reader.fail("mode", "there are off, record, replay and strict");
    if (!file) reader.fail("file", "is missing");
    EZ_TRY(reader.done());
    config_.cassette_mode = *mode;
    config_.cassette_file = file->starts_with('/') ? *file : folder_ + "/" + *file;
    return {};
  }

  const LoadOptions& options_;
  const std::string& folder_;
  const Environment& environment_;
  ModelsConfig config_;
  std::vector<std::string> known_;  // names of providers, with and without keys
};

}  // namespace

Result<ModelsConfig> load_models(std::string_view yaml, const LoadOptions& options,
                                 const Environment& environment) {
  Value file;
  if (yaml.size() > kMaxConfigBytes) {
    return Error(Code::ModelsConfigInvalid, "the file has more than 1 MiB");
  }
  if (yaml.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    orchestration::SourceError error;
    const auto tree = orchestration::SourceTree::parse(yaml, error);
    if (!tree) {
      return Error(Code::ModelsConfigInvalid, "line " + std::to_string(error.at.line) + ", column " +
                                                  std::to_string(error.at.column) + ": " + error.message);
    }
    file = tree->to_value(tree->root());
  }
  return Loader(options, environment).load(file);
}

}  // namespace ez::models
