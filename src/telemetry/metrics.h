// Metrics: counters, gauges and histograms with labels, exposed in the Prometheus text format 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats).
//
// Use. Resolve a handle once (Family::with, takes a lock), keep the reference, and count through it:
// increments are single atomic operations without a lock. References live as long as their Registry.
//
// Bounds. A family holds at most `max_series` label combinations; every further one is counted in one extra
// series whose labels are all "other", so a hostile label value costs nothing. Label values are cut at
// kMaxLabelBytes.
//
// Units. Base units in the name (seconds, bytes, usd). Counters are integers: a family with `divisor` 1000000
// counts microseconds or micro-dollars and exposes seconds or dollars.
//
// Threads. Everything is thread-safe. Errors. A wrong name or two shapes under one name are bugs and abort.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ez::telemetry {

inline constexpr std::size_t kDefaultMaxSeries = 256;
inline constexpr std::size_t kMaxLabelBytes = 128;

// Each on its own cache line, so that two busy series do not slow each other.
class alignas(64) Counter {
 public:
  void increment(std::uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class alignas(64) Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Cumulative buckets are summed when they are read: an observation touches one bucket and the sum.
class alignas(64) Histogram {
 public:
  // `bounds` are the inclusive upper bounds, strictly ascending, without +Inf.
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);
  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] double sum() const { return sum_.load(std::memory_order_relaxed); }
  [[nodiscard]] const std::vector<double>& bounds() const { return bounds_; }
  // Observations in bucket i alone; i == bounds().size() is the one above every bound.
  [[nodiscard]] std::uint64_t bucket(std::size_t i) const {
    return buckets_[i].load(std::memory_order_relaxed);
  }

 private:
  const std::vector<double> bounds_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> buckets_;
  std::atomic<double> sum_{0};
};

// 1 ms to about 1 minute, doubling; for latencies in seconds.
[[nodiscard]] std::vector<double> latency_bounds();

// The series of one metric name. M is Counter, Gauge or Histogram.
template <typename M>
class Family {
 public:
  // The series with these label values, in the order of the family's label names; made when it is new. O(log
  // n).
  M& with(std::initializer_list<std::string_view> values) {
    return with(std::span(values.begin(), values.size()));
  }
  M& with(std::span<const std::string_view> values);
  [[nodiscard]] std::size_t size() const;

 private:
  friend class Registry;
  Family(std::vector<std::string> labels, std::size_t max_series, std::function<std::unique_ptr<M>()> make)
      : labels_(std::move(labels)), max_series_(max_series), make_(std::move(make)) {}
  const std::vector<std::string> labels_;
  const std::size_t max_series_;
  const std::function<std::unique_ptr<M>()> make_;
  mutable std::mutex mutex_;
  std::map<std::vector<std::string>, std::unique_ptr<M>> series_;
};

// Where a collect callback puts its samples; of equal label values the last one stays. The family's bound
// holds here too: samples that are too many are summed up as "other".
class Samples {
 public:
  virtual ~Samples() = default;
  virtual void add(std::initializer_list<std::string_view> label_values, double value) = 0;
};

class Registry;

// Keeps a collect callback alive; afterwards (destroyed or moved over) it is not running and never runs
// again.
class CollectHandle {
 public:
  CollectHandle() = default;
  CollectHandle(CollectHandle&& other) noexcept;
  CollectHandle& operator=(CollectHandle&& other) noexcept;
  ~CollectHandle();

 private:
  friend class Registry;
  CollectHandle(Registry* registry, std::string name) : registry_(registry), name_(std::move(name)) {}
  Registry* registry_ = nullptr;
  std::string name_;
};

struct FamilyOptions {
  std::size_t max_series = kDefaultMaxSeries;
  std::uint64_t divisor = 1;  // counters only; see above
};

enum class CollectKind { kGauge, kCounter };

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The family of that name; made when it is new. The same name with another type, labels, bounds or divisor
  // aborts.
  Family<Counter>& counters(std::string_view name, std::string_view help, std::vector<std::string> labels,
                            FamilyOptions options = {});
  Family<Gauge>& gauges(std::string_view name, std::string_view help, std::vector<std::string> labels,
                        FamilyOptions options = {});
  Family<Histogram>& histograms(std::string_view name, std::string_view help, std::vector<std::string> labels,
                                std::vector<double> bounds, FamilyOptions options = {});
  // The one series of a family without labels.
  Counter& counter(std::string_view name, std::string_view help, std::uint64_t divisor = 1);
  Gauge& gauge(std::string_view name, std::string_view help);
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds);

  // Values that are read when they are asked for. `collect` runs inside expose(), one at a time; it must be
  // quick and may not call expose(), collect() or destroy a handle. One callback a name.
  [[nodiscard]] CollectHandle collect(std::string_view name, std::string_view help, CollectKind kind,
                                      std::vector<std::string> labels, std::function<void(Samples&)> collect,
                                      FamilyOptions options = {});

  // The exposition text, families sorted by name, series by label values: equal values give equal bytes.
  [[nodiscard]] std::string expose();
  // Content-Type of that text.
  [[nodiscard]] static std::string_view content_type() { return "text/plain; version=0.0.4; charset=utf-8"; }
  // The names of all families, sorted; for the golden file of names.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  friend class CollectHandle;
  struct Entry;
  Entry& entry(std::string_view name, std::string_view help, std::string_view shape);
  void remove_collect(const std::string& name);

  mutable std::mutex mutex_;  // the map of families
  std::mutex collect_mutex_;  // held while callbacks run and while one is removed; always taken before mutex_
  std::map<std::string, std::unique_ptr<Entry>> entries_;
};

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_max_fds,
// process_start_time_seconds and process_threads, by the names of the Prometheus client conventions; read
// from /proc.
[[nodiscard]] std::vector<CollectHandle> register_process_metrics(Registry& registry);

}  // namespace ez::telemetry
