#include "telemetry/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <variant>

#include "base/check.h"
#include "telemetry/text.h"

namespace ez::telemetry {
namespace {

constexpr std::string_view kOther = "other";

bool is_name(std::string_view name, bool colon) {
  const auto letter = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
  };
  if (name.empty() || !letter(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char text[40];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    out.append(text, end);
  }
}

void append_number(std::string& out, std::uint64_t value) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

// value / divisor, exact: the divisor is a power of ten.
void append_scaled(std::string& out, std::uint64_t value, std::uint64_t divisor) {
  append_number(out, value / divisor);
  std::uint64_t rest = value % divisor;
  if (rest == 0) return;
  std::string digits;
  for (std::uint64_t unit = divisor / 10; unit > 0; unit /= 10) {
    digits.push_back(static_cast<char>('0' + rest / unit));
    rest %= unit;
  }
  while (digits.back() == '0') digits.pop_back();
  out += '.';
  out += digits;
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// {a="1",b="2"}; `le` is added last when it is not empty; nothing at all without labels.
void append_labels(std::string& out, const std::vector<std::string>& names,
                   const std::vector<std::string>& values, std::string_view le = {}) {
  if (names.empty() && le.empty()) return;
  out += '{';
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    out += names[i];
    out += "=\"";
    append_escaped(out, values[i], true);
    out += '"';
  }
  if (!le.empty()) {
    if (!names.empty()) out += ',';
    out += "le=\"";
    out += le;
    out += '"';
  }
  out += '}';
}

std::vector<std::string> clean_values(std::span<const std::string_view> values) {
  std::vector<std::string> out;
  out.reserve(values.size());
  for (std::string_view value : values) out.push_back(utf8_clean(utf8_prefix(value, kMaxLabelBytes)));
  return out;
}

std::string shape_of(std::string_view type, const std::vector<std::string>& labels, std::uint64_t divisor,
                     const std::vector<double>& bounds = {}) {
  for (const std::string& label : labels) {
    EZ_CHECK(is_name(label, false) && !label.starts_with("__") && label != "le",
             "wrong name of a metric label");
  }
  std::string shape(type);
  for (const std::string& label : labels) shape += "," + label;
  shape += "/" + std::to_string(divisor);
  for (double bound : bounds) {
    shape += "|";
    append_number(shape, bound);
  }
  return shape;
}

class SampleMap final : public Samples {
 public:
  SampleMap(std::size_t labels, std::size_t max_series) : labels_(labels), max_series_(max_series) {}
  void add(std::initializer_list<std::string_view> label_values, double value) override {
    EZ_CHECK(label_values.size() == labels_, "a sample needs one value for each label");
    auto key = clean_values(std::span(label_values.begin(), label_values.size()));
    if (samples_.contains(key) || samples_.size() < max_series_) {
      samples_[std::move(key)] = value;
    } else {
      other_ += value;
      overflowed_ = true;
    }
  }
  std::map<std::vector<std::string>, double> take() {
    if (overflowed_) samples_[std::vector<std::string>(labels_, std::string(kOther))] += other_;
    return std::move(samples_);
  }

 private:
  const std::size_t labels_;
  const std::size_t max_series_;
  std::map<std::vector<std::string>, double> samples_;
  double other_ = 0;
  bool overflowed_ = false;
};

struct Collector {
  CollectKind kind;
  std::vector<std::string> labels;
  std::size_t max_series;
  std::function<void(Samples&)> collect;
};

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)),
      buckets_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1)) {
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    EZ_CHECK(std::isfinite(bounds_[i]) && (i == 0 || bounds_[i - 1] < bounds_[i]),
             "histogram bounds must ascend");
  }
}

void Histogram::observe(double value) {
  // NaN compares false with every bound and lands in the last bucket, as in the Prometheus clients.
  const auto at = std::isnan(value) ? bounds_.end() : std::lower_bound(bounds_.begin(), bounds_.end(), value);
  buckets_[static_cast<std::size_t>(at - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= bounds_.size(); ++i) total += bucket(i);
  return total;
}

std::vector<double> latency_bounds() {
  std::vector<double> bounds;
  for (int i = 0; i < 17; ++i) bounds.push_back(0.001 * (1 << i));
  return bounds;
}

template <typename M>
M& Family<M>::with(std::span<const std::string_view> values) {
  EZ_CHECK(values.size() == labels_.size(), "a series needs one value for each label");
  auto key = clean_values(values);
  std::lock_guard lock(mutex_);
  auto found = series_.find(key);
  if (found != series_.end()) return *found->second;
  if (series_.size() >= max_series_) {
    key.assign(labels_.size(), std::string(kOther));
    found = series_.find(key);
    if (found != series_.end()) return *found->second;
  }
  return *series_.emplace(std::move(key), make_()).first->second;
}

template <typename M>
std::size_t Family<M>::size() const {
  std::lock_guard lock(mutex_);
  return series_.size();
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

struct Registry::Entry {
  std::string help;
  std::string shape;
  std::uint64_t divisor = 1;
  std::variant<std::monostate, std::unique_ptr<Family<Counter>>, std::unique_ptr<Family<Gauge>>,
               std::unique_ptr<Family<Histogram>>, std::unique_ptr<Collector>>
      content;
};

Registry::Registry() = default;
Registry::~Registry() = default;

// Called with mutex_ held.
Registry::Entry& Registry::entry(std::string_view name, std::string_view help, std::string_view shape) {
  EZ_CHECK(is_name(name, true), "wrong name of a metric");
  auto& slot = entries_[std::string(name)];
  if (!slot) {
    slot = std::make_unique<Entry>();
    slot->help = utf8_clean(help);
    slot->shape = std::string(shape);
  }
  EZ_CHECK(slot->shape == shape, "one metric name with two shapes");
  return *slot;
}

Family<Counter>& Registry::counters(std::string_view name, std::string_view help,
                                    std::vector<std::string> labels, FamilyOptions options) {
  std::uint64_t power = 1;
  while (power < options.divisor && power < 1'000'000'000'000) power *= 10;
  EZ_CHECK(power == options.divisor, "the divisor of a counter must be a power of ten");
  std::lock_guard lock(mutex_);
  Entry& at = entry(name, help, shape_of("counter", labels, options.divisor));
  if (at.content.index() == 0) {
    at.divisor = options.divisor;
    at.content = std::unique_ptr<Family<Counter>>(new Family<Counter>(
        std::move(labels), options.max_series, [] { return std::make_unique<Counter>(); }));
  }
  return *std::get<std::unique_ptr<Family<Counter>>>(at.content);
}

Family<Gauge>& Registry::gauges(std::string_view name, std::string_view help, std::vector<std::string> labels,
                                FamilyOptions options) {
  std::lock_guard lock(mutex_);
  Entry& at = entry(name, help, shape_of("gauge", labels, 1));
  if (at.content.index() == 0) {
    at.content = std::unique_ptr<Family<Gauge>>(
        new Family<Gauge>(std::move(labels), options.max_series, [] { return std::make_unique<Gauge>(); }));
  }
  return *std::get<std::unique_ptr<Family<Gauge>>>(at.content);
}

Family<Histogram>& Registry::histograms(std::string_view name, std::string_view help,
                                        std::vector<std::string> labels, std::vector<double> bounds,
                                        FamilyOptions options) {
  std::lock_guard lock(mutex_);
  Entry& at = entry(name, help, shape_of("histogram", labels, 1, bounds));
  if (at.content.index() == 0) {
    auto make = [bounds = std::move(bounds)] { return std::make_unique<Histogram>(bounds); };
    at.content = std::unique_ptr<Family<Histogram>>(
        new Family<Histogram>(std::move(labels), options.max_series, std::move(make)));
  }
  return *std::get<std::unique_ptr<Family<Histogram>>>(at.content);
}

Counter& Registry::counter(std::string_view name, std::string_view help, std::uint64_t divisor) {
  return counters(name, help, {}, {.divisor = divisor}).with({});
}
Gauge& Registry::gauge(std::string_view name, std::string_view help) {
  return gauges(name, help, {}).with({});
}
Histogram& Registry::histogram(std::string_view name, std::string_view help, std::vector<double> bounds) {
  return histograms(name, help, {}, std::move(bounds)).with({});
}

CollectHandle Registry::collect(std::string_view name, std::string_view help, CollectKind kind,
                                std::vector<std::string> labels, std::function<void(Samples&)> collect,
                                FamilyOptions options) {
  std::lock_guard lock(mutex_);
  const auto shape = shape_of(kind == CollectKind::kGauge ? "collect-gauge" : "collect-counter", labels, 1);
  Entry& at = entry(name, help, shape);
  EZ_CHECK(at.content.index() == 0, "one metric name with two callbacks");
  at.content =
      std::make_unique<Collector>(Collector{kind, std::move(labels), options.max_series, std::move(collect)});
  return CollectHandle(this, std::string(name));
}

void Registry::remove_collect(const std::string& name) {
  std::lock_guard running(collect_mutex_);
  std::lock_guard lock(mutex_);
  entries_.erase(name);
}

CollectHandle::CollectHandle(CollectHandle&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)), name_(std::move(other.name_)) {}
CollectHandle& CollectHandle::operator=(CollectHandle&& other) noexcept {
  if (this != &other) {
    if (registry_ != nullptr) registry_->remove_collect(name_);
    registry_ = std::exchange(other.registry_, nullptr);
    name_ = std::move(other.name_);
  }
  return *this;
}
CollectHandle::~CollectHandle() {
  if (registry_ != nullptr) registry_->remove_collect(name_);
}

std::vector<std::string> Registry::names() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [name, at] : entries_) out.push_back(name);
  return out;
}

std::string Registry::expose() {
  // Callbacks run without mutex_, so that they may resolve handles; collect_mutex_ keeps their entries alive.
  std::lock_guard running(collect_mutex_);
  std::vector<std::pair<const std::string*, Entry*>> entries;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, at] : entries_) entries.emplace_back(&name, at.get());
  }
  std::string out;
  for (const auto& [name_at, at] : entries) {
    const std::string& name = *name_at;
    const auto head = [&](std::string_view type) {
      out += "# HELP " + name + " ";
      append_escaped(out, at->help, false);
      out += "\n# TYPE " + name + " ";
      out += type;
      out += '\n';
    };
    if (auto* counters = std::get_if<std::unique_ptr<Family<Counter>>>(&at->content)) {
      Family<Counter>& family = **counters;
      head("counter");
      std::lock_guard lock(family.mutex_);
      for (const auto& [values, counter] : family.series_) {
        out += name;
        append_labels(out, family.labels_, values);
        out += ' ';
        append_scaled(out, counter->value(), at->divisor);
        out += '\n';
      }
    } else if (auto* gauges = std::get_if<std::unique_ptr<Family<Gauge>>>(&at->content)) {
      Family<Gauge>& family = **gauges;
      head("gauge");
      std::lock_guard lock(family.mutex_);
      for (const auto& [values, gauge] : family.series_) {
        out += name;
        append_labels(out, family.labels_, values);
        out += ' ';
        append_number(out, gauge->value());
        out += '\n';
      }
    } else if (auto* histograms = std::get_if<std::unique_ptr<Family<Histogram>>>(&at->content)) {
      Family<Histogram>& family = **histograms;
      head("histogram");
      std::lock_guard lock(family.mutex_);
      for (const auto& [values, histogram] : family.series_) {
        std::uint64_t total = 0;
        for (std::size_t i = 0; i <= histogram->bounds().size(); ++i) {
          total += histogram->bucket(i);
          std::string le;
          if (i < histogram->bounds().size()) {
            append_number(le, histogram->bounds()[i]);
          } else {
            le = "+Inf";
          }
          out += name + "_bucket";
          append_labels(out, family.labels_, values, le);
          out += ' ';
          append_number(out, total);
          out += '\n';
        }
        out += name + "_sum";
        append_labels(out, family.labels_, values);
        out += ' ';
        append_number(out, histogram->sum());
        out += '\n' + name + "_count";
        append_labels(out, family.labels_, values);
        out += ' ';
        append_number(out, total);  // the same total as le="+Inf", even while others observe
        out += '\n';
      }
    } else if (auto* collector = std::get_if<std::unique_ptr<Collector>>(&at->content)) {
      SampleMap samples((*collector)->labels.size(), (*collector)->max_series);
      (*collector)->collect(samples);
      head((*collector)->kind == CollectKind::kGauge ? "gauge" : "counter");
      for (const auto& [values, value] : samples.take()) {
        out += name;
        append_labels(out, (*collector)->labels, values);
        out += ' ';
        append_number(out, value);
        out += '\n';
      }
    }
  }
  return out;
}

}  // namespace ez::telemetry
