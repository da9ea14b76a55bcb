#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

// What the server takes for a git repository, for the time of a test.
class CheckedRepository {
 public:
  CheckedRepository() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ez-checks-XXXXXX").string();
    EZ_CHECK(::mkdtemp(pattern.data()) != nullptr, "no temporary folder");
    folder_ = pattern;
    std::filesystem::create_directory(folder_ / ".git");
  }
  ~CheckedRepository() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  CheckedRepository(const CheckedRepository&) = delete;
  CheckedRepository& operator=(const CheckedRepository&) = delete;

  [[nodiscard]] std::string source(const std::string& workflow) const {
    return "repository: " + folder_.string() + "\n" + workflow;
  }

 private:
  std::filesystem::path folder_;
};

constexpr const char* kMergedSource =
    "name: merged\ninputs: {word: {type: string, default: a b}}\ntasks:\n"
    "  - {id: made, run: 'true', workspace: write, verify: 'test ${{ inputs.word }}'}\n"
    "  - {id: same, dependencies: [made], run: 'true', workspace: write, verify: 'false'}\n"
    "  - {id: bare, dependencies: [made], run: 'true', workspace: write}\n";

// Does a task as an agent: the work with a commit (none: nothing changed), then its merge.
void do_task(TestAgent& agent, const std::string& commit, const std::string& head) {
  Value result = TestAgent::result(agent.take(), "succeeded");
  if (commit.empty()) {
    ASSERT_EQ(agent.work({result}, 0, 0).status, 200);
    return;
  }
  result.set("commit", Value(commit));
  result.set("branch", Value("ez/r1.tasks/" + commit));
  result.set("changed_files", Value(1));
  ASSERT_EQ(agent.work({result}, 0, 0).status, 200);
  const Value merge = agent.take();
  ASSERT_EQ(merge.string_or("kind", ""), "merge");
  Value merged = TestAgent::result(merge, "succeeded");
  merged.set("head", Value(head));
  merged.set("merged", Value(true));
  ASSERT_EQ(agent.work({merged}, 0, 0).status, 200);
}

TEST(ApiChecks, ListsMergedTasksWithTheirRenderedChecks) {
  World world;
  const CheckedRepository repository;
  world.start_run("merged", repository.source(kMergedSource));
  const auto checks = [&](const std::string& query = "") { return world.get("/v1/runs/r1/checks" + query); };
  EXPECT_TRUE(checks().body.find("items")->as_list().empty());
  TestAgent agent(world, "one", 1);
  do_task(agent, std::string(40, '1'), std::string(40, 'a'));
  do_task(agent, "", "");
  do_task(agent, std::string(40, '3'), std::string(40, 'c'));
  EXPECT_EQ(world.get("/v1/runs/r1").text_of("state"), "succeeded");
  const Answer all = checks();
  ASSERT_EQ(all.status, 200) << all.text;
  const Value::List& items = all.body.find("items")->as_list();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].string_or("task", ""), "made");
  EXPECT_EQ(items[0].string_or("commit", ""), std::string(40, '1'));
  EXPECT_EQ(items[0].string_or("merged_head", ""), std::string(40, 'a'));
  const Value& work = *items[0].find("work");
  EXPECT_EQ(work.string_or("kind", ""), "merge");
  EXPECT_EQ(work.int_or("fence", -1), 0);
  EXPECT_EQ(work.find("merge")->string_or("verify", ""), "test 'a b'");
  EXPECT_EQ(work.find("model_gateway"), nullptr);
  EXPECT_EQ(items[1].string_or("task", ""), "bare");
  EXPECT_TRUE(items[1].find("work")->find("merge")->find("verify")->is_null());
  const Answer first = checks("?limit=1");
  EXPECT_EQ(first.body.find("items")->as_list().size(), 1u);
  const Answer second = checks("?limit=1&cursor=" + first.text_of("next_cursor"));
  EXPECT_EQ(second.body.find("items")->as_list()[0].string_or("task", ""), "bare");
  EXPECT_EQ(second.text_of("next_cursor"), "");
}

TEST(ApiChecks, RefusesWhatIsNoRunOrNoCursor) {
  World world;
  const CheckedRepository repository;
  world.start_run("merged", repository.source(kMergedSource));
  EXPECT_EQ(world.get("/v1/runs/r7/checks").status, 404);
  EXPECT_EQ(world.get("/v1/runs/r1/checks?cursor=t1").status, 400);
  EXPECT_EQ(world.get("/v1/runs/r1/checks?state=x").status, 400);
}

}  // namespace
}  // namespace ez::http::api
