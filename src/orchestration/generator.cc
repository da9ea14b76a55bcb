#include "orchestration/generator.h"

#include <array>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 6> kWords{"build", "test", "lint", "pack", "scan", "merge-all"};
constexpr std::array<std::string_view, 8> kTexts{
    "plain words",    "quotes \" and 'single'", "naïve café — ünïcode 漢字 🚀", "colon: and # hash",
    "back\\slash\\n", "  leading space",        "{ braces } [ brackets ]",     "dollar $HOME ${X} $$"};

// A YAML text in double quotes, whatever is in it.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

class Generator {
 public:
  Generator(Random& random, const GeneratorOptions& options) : random_(random), options_(options) {
    EZ_CHECK(options.min_tasks > 0 && options.min_tasks <= options.max_tasks, "a generator of no tasks");
  }

  GeneratedWorkflow generate() {
    out_.name = "generated-" + std::to_string(random_.below(1'000'000));
    if (styled(3)) text_ += "# a generated workflow\n---\n";
    line("name: " + out_.name);
    if (random_.chance(1, 2)) line("description: " + in_quotes(pick(kTexts)));
    if (random_.chance(1, 4)) line("namespace: team-" + std::to_string(random_.below(3)));
    if (random_.chance(1, 3)) line("priority: " + std::string(pick(kPriorities)));
    out_.repository = options_.repository && random_.chance(1, 2);
    write_inputs();
    if (out_.repository) write_repository();
    if (options_.limits && random_.chance(1, 3)) line("budget: {cost_usd: 12.5, deadline: 4h}");
    write_defaults();
    const auto count = options_.min_tasks + random_.below(options_.max_tasks - options_.min_tasks + 1);
    line("tasks:");
    for (std::uint64_t i = 0; i < count; ++i) write_task(i);
    out_.tasks = static_cast<std::uint32_t>(count);
    out_.source = std::move(text_);
    return std::move(out_);
  }

 private:
  static constexpr std::array<std::string_view, 5> kPriorities{"critical", "high", "normal", "low",
                                                               "deferred"};
  static constexpr std::array<std::string_view, 3> kPolicies{"pause", "fail", "continue"};

  struct Made {
    std::string id;
    bool has_output = false;  // a run that is no for_each
  };

  template <std::size_t n>
  std::string_view pick(const std::array<std::string_view, n>& list) {
    return list[random_.below(n)];
  }
  bool styled(std::uint64_t one_in) { return options_.styles && random_.chance(1, one_in); }

  void line(std::string_view text) {
    text_ += text;
    if (styled(12)) text_ += "  # a comment";
    text_ += '\n';
  }
  void key(std::string_view text) { line("    " + std::string(text)); }

  void write_inputs() {
    line("inputs:");
    line("  count: {type: int, default: " + std::to_string(random_.below(10)) + "}");
    line("  names: {type: list, default: [a, b, c]}");
    line("  flag: {type: bool, description: " + in_quotes(pick(kTexts)) + "}");
    out_.inputs.set("flag", Value(random_.chance(1, 2)));
    if (random_.chance(1, 3)) {
      line("  label:\n    type: string\n    default: " + in_quotes(pick(kTexts)));
      has_label_ = true;
    }
    if (out_.repository) {
      line("  repo: {type: git}");
      out_.inputs.set("repo", Value("/srv/repositories/sample"));
    }
  }

  void write_repository() {
    line("repository: ${{ inputs.repo }}");
    if (random_.chance(1, 2)) line("branch: work/${{ run.id }}");
    if (random_.chance(1, 3)) line("base: main");
  }

  void write_defaults() {
    if (!options_.limits || random_.chance(1, 2)) return;
    line("defaults:");
    line("  retry: {max_attempts: " + std::to_string(1 + random_.below(5)) + ", backoff: 2s}");
    if (random_.chance(1, 2)) line("  timeout:\n    start_to_close: 30m");
    if (options_.policies && random_.chance(1, 3)) line("  on_failure: " + std::string(pick(kPolicies)));
  }

  // Dependencies of task `index`: mostly near ones, so that graphs are deep as well as wide.
  std::vector<std::size_t> choose_dependencies(std::uint64_t index) {
    std::vector<std::size_t> chosen;
    const std::uint64_t wanted = index == 0 ? 0 : random_.below(std::uint64_t{options_.max_dependencies} + 1);
    for (std::uint64_t k = 0; k < wanted; ++k) {
      const std::uint64_t reach = random_.chance(2, 3) ? std::min<std::uint64_t>(index, 4) : index;
      const std::size_t dependency = index - 1 - random_.below(reach);
      bool is_new = true;
      for (const std::size_t known : chosen) is_new = is_new && known != dependency;
      if (is_new) chosen.push_back(dependency);
    }
    return chosen;
  }

  void write_task(std::uint64_t index) {
    Made made;
    made.id = std::string(pick(kWords)) + (random_.chance(1, 2) ? "-" : "_") + std::to_string(index);
    line("  - id: " + made.id);
    if (random_.chance(1, 4)) key("name: " + in_quotes(pick(kTexts)));
    const std::vector<std::size_t> dependencies = choose_dependencies(index);
    write_dependencies(dependencies);
    // Tasks whose output expressions of this one may read.
    std::vector<const Made*> readable;
    for (const std::size_t d : dependencies) {
      if (made_[d].has_output) readable.push_back(&made_[d]);
    }
    if (options_.conditions && random_.chance(1, 4)) write_condition(readable);
    const bool approval = options_.approvals && random_.chance(1, 8);
    if (approval) {
      ++out_.approvals;
      key("approval: {role: maintainer, message: \"Go on with ${{ inputs.count }}?\"}");
      if (random_.chance(2, 3)) {
        ++out_.waiting;
        made_.push_back(std::move(made));
        return;
      }
    }
    if (options_.waits && !approval && random_.chance(1, 10)) {
      write_wait();
      made_.push_back(std::move(made));
      return;
    }
    const bool is_for_each = options_.for_each && random_.chance(1, 5);
    if (is_for_each) write_for_each(readable);
    if (options_.children && random_.chance(1, 10)) {
      write_child(is_for_each);
      made.has_output = !is_for_each;
      made_.push_back(std::move(made));
      return;
    }
    if (options_.prompts && random_.chance(1, 6)) {
      ++out_.prompts;
      key("agent: {type: claude, capabilities: [cpp]}");
      key(is_for_each ? "prompt: Improve ${{ item }} (number ${{ index }})"
                      : "prompt: >-\n      Improve\n      it all");
    } else {
      write_run(readable, is_for_each);
    }
    write_workspace();
    if (options_.limits) write_limits();
    if (options_.policies && random_.chance(1, 4)) key("on_failure: " + std::string(pick(kPolicies)));
    if (random_.chance(1, 6)) key("checkpoint: true");
    if (random_.chance(1, 5)) key("priority: " + std::string(pick(kPriorities)));
    made.has_output = !is_for_each;
    made_.push_back(std::move(made));
  }

  void write_dependencies(const std::vector<std::size_t>& dependencies) {
    out_.dependencies += static_cast<std::uint32_t>(dependencies.size());
    if (dependencies.empty()) {
      if (styled(3)) key("dependencies: []");
      return;
    }
    const bool is_flow = !options_.styles || random_.chance(1, 2);
    std::string text = is_flow ? "dependencies: [" : "dependencies:";
    for (std::size_t i = 0; i < dependencies.size(); ++i) {
      const std::string& id = made_[dependencies[i]].id;
      text += is_flow ? (i == 0 ? "" : ", ") + id : "\n      - " + id;
    }
    key(is_flow ? text + "]" : text);
  }

  static std::string output_of(const Made& task) { return "tasks['" + task.id + "'].output"; }

  void write_condition(const std::vector<const Made*>& readable) {
    ++out_.conditions;
    if (readable.empty() || random_.chance(1, 3)) {
      key(random_.chance(1, 2) ? "when: inputs.flag" : "when: inputs.count >= 5 || !inputs.flag");
      return;
    }
    const std::string output = output_of(*readable[random_.below(readable.size())]);
    key("when: " + output + " == null || " + output + (random_.chance(1, 2) ? ".ok" : ".n > 3"));
  }

  void write_for_each(const std::vector<const Made*>& readable) {
    ++out_.for_each;
    if (readable.empty() || random_.chance(1, 2)) {
      key(random_.chance(1, 2) ? "for_each: ${{ inputs.names }}"
                               : "for_each: \"${{ ['x', 'y'] + inputs.names }}\"");
    } else {
      const std::string output = output_of(*readable[random_.below(readable.size())]);
      // The `: ` of a conditional needs quotes in YAML.
      key("for_each: \"${{ " + output + " == null ? [] : " + output + ".list }}\"");
    }
    if (random_.chance(1, 2)) key("max_parallel: " + std::to_string(1 + random_.below(4)));
  }

  void write_child(bool is_for_each) {
    ++out_.children;
    key(std::string("workflow: {name: other, inputs: {count: ") +
        (is_for_each ? "'${{ item }}'" : "'${{ inputs.count + 1 }}'") +
        (random_.chance(1, 2) ? ", names: '${{ inputs.names }}'}}" : "}, version: 2}"));
    if (options_.limits && random_.chance(1, 3)) key("timeout: {start_to_close: 1h}");
    if (options_.limits && random_.chance(1, 3)) key("retry: {max_attempts: 2}");
    if (options_.policies && random_.chance(1, 4)) key("on_failure: " + std::string(pick(kPolicies)));
  }

  void write_wait() {
    static constexpr std::array<std::string_view, 6> kWaits{
        "{for: 90s}",
        "{for: 1h30m}",
        "{until: 2026-12-24T08:00:00+01:00}",
        "{until: \"${{ inputs.flag ? '2026-12-24T08:00:00Z' : '2027-01-01T00:00:00Z' }}\"}",
        "{signal: reviewed}",
        "{signal: go-on, timeout: 2d}"};
    ++out_.waits;
    key("wait: " + std::string(pick(kWaits)));
    if (options_.policies && random_.chance(1, 3)) key("on_failure: " + std::string(pick(kPolicies)));
  }

  void write_run(const std::vector<const Made*>& readable, bool is_for_each) {
    std::string script = "work --count ${{ inputs.count }}";
    if (is_for_each) script += " --item ${{ item }} --index ${{ index }}";
    if (has_label_ && random_.chance(1, 3)) script += " --label ${{ inputs.label }}";
    if (!readable.empty() && random_.chance(1, 2)) {
      script += " --from ${{ " + output_of(*readable[random_.below(readable.size())]) + " }}";
    }
    if (random_.chance(1, 2)) {
      key("run: |\n      set -eu\n      " + script + "\n      echo done $${{ literally");
    } else {
      key(styled(2) ? "run: " + in_quotes(script) : "run: " + script);
    }
    if (random_.chance(1, 4)) key("env: {MODE: fast, LABEL: " + in_quotes(pick(kTexts)) + "}");
  }

  void write_workspace() {
    if (!out_.repository) return;
    const std::uint64_t choice = random_.below(4);
    if (choice == 0) {
      key("workspace: none");
      return;
    }
    if (choice == 1) {
      key("workspace: read");
    } else {
      ++out_.write_tasks;
      if (random_.chance(1, 3)) key("workspace: write");
      if (random_.chance(1, 2)) key("verify: make test");
    }
    if (random_.chance(1, 4)) key("artifacts: [\"report/*.md\", out/log.txt]");
  }

  void write_limits() {
    if (random_.chance(1, 5)) {
      if (!has_anchor_ && styled(2)) {
        key("retry: &retry {max_attempts: 4, backoff: 100ms, max_backoff: 1m, multiplier: 1.5, jitter: "
            "0.125}");
        has_anchor_ = true;
      } else {
        key(has_anchor_ && styled(2) ? "retry: *retry"
                                     : "retry: {max_attempts: " + std::to_string(1 + random_.below(6)) + "}");
      }
    }
    if (random_.chance(1, 5)) key("timeout: {schedule_to_start: 10m, start_to_close: 1h30m, heartbeat: 30s}");
    if (random_.chance(1, 8)) {
      ++out_.concurrency;
      key("concurrency: {key: \"lane/${{ inputs.count }}\", limit: " + std::to_string(1 + random_.below(3)) +
          "}");
    }
    if (random_.chance(1, 8)) key("sandbox: {network: true, memory_mb: 512, cpu_s: 30}");
  }

  Random& random_;
  const GeneratorOptions& options_;
  GeneratedWorkflow out_;
  std::string text_;
  std::vector<Made> made_;
  bool has_label_ = false;
  bool has_anchor_ = false;
};

}  // namespace

GeneratedWorkflow generate_workflow(Random& random, const GeneratorOptions& options) {
  return Generator(random, options).generate();
}

}  // namespace ez::orchestration
