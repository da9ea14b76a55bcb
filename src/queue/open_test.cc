#include "queue/open.h"

#include <gmock/gmock.h>

namespace ez::queue {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(OpenBusTest, AddressesOfEachKind) {
  for (const char* url : {
           "redis://localhost:6379",
           "redis://user:p%40ss@a:1,b:2?prefix=mine&alive_ms=2000&wait_replicas=1",
           "rediss://:secret@localhost:6380?ca=/etc/ssl/certs/ca.pem&server_name=redis.example",
           "rediss+cluster://a:7000,b:7000",
           "redis+sentinel://a:26379,b:26379/main?duplicate_ids=10",
           "amqp://user:secret@localhost:5672",
           "amqps://user:secret@localhost:5671/jobs?queues=classic&prefetch=10&request_timeout_ms=900",
       }) {
    auto bus = open_bus(url);
    EXPECT_TRUE(bus.ok()) << url << ": " << bus.error().to_string();
  }
  EXPECT_EQ((*open_bus("redis://h:1?duplicate_ids=7"))->capabilities().duplicate_ids, 7U);
  EXPECT_EQ((*open_bus("amqp://h:1"))->capabilities().backend, "rabbitmq");
}

TEST(OpenBusTest, MistakesAreNamedAndPasswordsAreNot) {
  const std::pair<const char*, const char*> cases[] = {
      {"localhost:6379", "does not begin"},
      {"http://localhost:80", "no kind of broker `http`"},
      {"amqp+cluster://a:1", "no kind of broker"},
      {"redis://", "has no address"},
      {"redis://user:secret@host", "not an address"},
      {"redis://user:secret@host:1/3", "a path has a meaning"},
      {"redis+sentinel://host:1", "name of the primary"},
      {"redis://host:1?prefix", "not NAME=VALUE"},
      {"redis://host:1?prefix=a&prefix=b", "twice"},
      {"redis://host:1?colour=red", "no setting colour"},
      {"redis://host:1?alive_ms=soon", "not a number"},
      {"redis://host:1?alive_ms=-1", "at least"},
      {"redis://host:1?wait_replicas=99999999999", "not a number"},
      {"redis://u%zz:secret@host:1", "hexadecimal"},
      {"redis://host:1?ca=/x", "TLS is off"},
      {"amqp://host:1?queues=lazy", "quorum or classic"},
      {"amqps://host:1?cert=/x", "go together"},
      {"redis://host:1?password_file=/no/such/file", "password file"},
  };
  for (const auto& [url, said] : cases) {
    auto bus = open_bus(url);
    ASSERT_FALSE(bus.ok()) << url;
    EXPECT_THAT(bus.error().message(), HasSubstr(said)) << url;
    EXPECT_THAT(bus.error().message(), Not(HasSubstr("secret"))) << url;
  }
  EXPECT_FALSE(open_bus("redis://" + std::string(5'000, 'x')).ok());
}

TEST(OpenBusTest, AnAddressIsShownWithoutItsPassword) {
  EXPECT_EQ(without_password("redis://user:se@cret@host:1/x?y=1"), "redis://user@host:1/x?y=1");
  EXPECT_EQ(without_password("redis://:secret@host:1"), "redis://@host:1");
  EXPECT_EQ(without_password("amqp://host:1"), "amqp://host:1");
  EXPECT_EQ(without_password("nonsense"), "nonsense");
}

}  // namespace
}  // namespace ez::queue
