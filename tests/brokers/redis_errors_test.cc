// What the Redis backend says when something is wrong: one clear error each.
#include <gmock/gmock.h>

#include "brokers.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;
using test::Servers;
using test::Variant;
using testing::HasSubstr;

Error health_error(redis::RedisOptions options, milliseconds wait = milliseconds(3'000)) {
  auto bus = redis::open_redis(std::move(options));
  EXPECT_TRUE(bus.ok());
  auto taken = check_health_and_wait(**bus, wait);
  EXPECT_FALSE(taken.ok());
  return taken.ok() ? Error(Code::Internal, "it is well") : taken.error();
}

TEST(RedisErrors, WrongCredentials) {
  auto options = test::redis_options(Variant::kPlain);
  options.broker.password = "wrong";
  const Error error = health_error(options);
  EXPECT_EQ(error.code(), Code::QueueRefused) << error.to_string();
  EXPECT_THAT(error.message(), testing::Not(HasSubstr("wrong ")));
  options.broker.password.clear();
  options.broker.user.clear();
  EXPECT_EQ(health_error(options).code(), Code::QueueRefused) << "none at all";
}

TEST(RedisErrors, AUserWhoMayNot) {
  auto options = test::redis_options(Variant::kPlain);
  options.broker.user = "narrow";
  options.broker.password = "narrow-secret";
  auto bus = redis::open_redis(options);
  ASSERT_TRUE(bus.ok());
  Message message;
  message.topic = "not.mine";
  auto receipt = publish_and_wait(**bus, std::move(message));
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::QueueRefused) << receipt.error().to_string();
  EXPECT_THAT(receipt.error().message(), HasSubstr("NOPERM"));
}

TEST(RedisErrors, AnExpiredCertificate) {
  auto options = test::redis_options(Variant::kTls);
  // The gate ends TLS with the expired certificate and speaks plain to the server.
  const auto gate =
      Servers::get().gate(test::list_of(test::redis_server(Variant::kPlain), "addresses").front(), "expired");
  options.broker.addresses = {gate.address};
  const Error error = health_error(options);
  EXPECT_EQ(error.code(), Code::QueueTlsFailed) << error.to_string();
  EXPECT_THAT(error.message(), HasSubstr("expired"));
}

TEST(RedisErrors, AnAuthorityThatIsNotTrusted) {
  auto options = test::redis_options(Variant::kTls);
  options.broker.ca_file = test::redis_server(Variant::kPlain).string_or("other_ca", "");
  EXPECT_EQ(health_error(options).code(), Code::QueueTlsFailed);
  options.broker.ca_file = "/no/such/file";
  EXPECT_EQ(health_error(options).code(), Code::QueueTlsFailed);
  options = test::redis_options(Variant::kTls);
  options.broker.server_name = "another.example";
  EXPECT_EQ(health_error(options).code(), Code::QueueTlsFailed) << "a certificate of somebody else";
}

TEST(RedisErrors, AnotherProtocolOnThePort) {
  auto options = test::redis_options(Variant::kPlain);
  options.broker.addresses = test::list_of(test::redis_server(Variant::kPlain), "tls_addresses");
  Error error = health_error(options);
  EXPECT_THAT(error.code(), testing::AnyOf(Code::QueueProtocol, Code::QueueUnreachable)) << error.to_string();
  options = test::redis_options(Variant::kTls);
  options.broker.addresses = test::list_of(test::redis_server(Variant::kPlain), "addresses");
  error = health_error(options);
  EXPECT_THAT(error.code(), testing::AnyOf(Code::QueueProtocol, Code::QueueUnreachable)) << error.to_string();
}

TEST(RedisErrors, NobodyThere) {
  auto options = test::redis_options(Variant::kPlain);
  options.broker.addresses = {"127.0.0.1:1"};
  options.broker.publish_timeout_ms = 300;
  EXPECT_EQ(health_error(options, milliseconds(300)).code(), Code::QueueUnreachable);
  auto bus = redis::open_redis(options);
  Message message;
  message.topic = "t";
  auto receipt = publish_and_wait(**bus, std::move(message));
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::QueueUnreachable) << receipt.error().to_string();
  auto made = (*bus)->subscribe({"t", "g", 10, 1'000}, milliseconds(200));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code(), Code::QueueUnreachable);
}

TEST(RedisErrors, ASentinelThatKnowsNoSuchPrimary) {
  auto options = test::redis_options(Variant::kSentinel);
  options.master_name = "nobody";
  EXPECT_EQ(health_error(options).code(), Code::QueueRefused);
}

TEST(RedisErrors, AFullTopic) {
  auto options = test::redis_options(Variant::kPlain);
  options.max_messages = 3;
  auto bus = redis::open_redis(options);
  for (int i = 0; i < 4; ++i) {
    Message message;
    message.topic = "errors.full";
    auto receipt = publish_and_wait(**bus, std::move(message));
    EXPECT_EQ(receipt.ok(), i < 3);
    if (receipt.ok()) continue;
    EXPECT_EQ(receipt.error().code(), Code::QueueFull) << receipt.error().to_string();
  }
}

TEST(RedisErrors, TooMuchOnItsWay) {
  auto options = test::redis_options(Variant::kPlain);
  options.broker.max_pending_bytes = 1'000;
  auto bus = redis::open_redis(options);
  Message message;
  message.topic = "errors.overloaded";
  message.payload = std::string(2'000, 'x');
  auto receipt = publish_and_wait(**bus, std::move(message));
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::Overloaded);
}

TEST(RedisErrors, WhatOthersWriteIntoAStreamIsReadAsFarAsItGoes) {
  auto bus = test::open_redis(Variant::kPlain);
  auto consumer = (*bus)->subscribe({"errors.foreign", "g", 10, 30'000}, milliseconds(5'000));
  ASSERT_TRUE(consumer.ok());
  Message message;
  message.topic = "errors.foreign";
  message.payload = "ours";
  ASSERT_TRUE(publish_and_wait(**bus, std::move(message)).ok());
  test::redis_says(test::redis_server(Variant::kPlain), 0,
                   {"XADD", "ez:{errors.foreign}:0:2", "*", "data", "theirs", "strange", "field"});
  std::vector<std::string> payloads;
  for (int i = 0; i < 20 && payloads.size() < 2; ++i) {
    auto got = take_and_wait(**consumer, 10, milliseconds(1'000));
    ASSERT_TRUE(got.ok());
    for (const Delivery& delivery : *got) {
      payloads.push_back(delivery.message.payload);
      EXPECT_FALSE(delivery.message.id.empty());
      EXPECT_TRUE(ack_and_wait(**consumer, {delivery.tag}).ok());
    }
  }
  EXPECT_THAT(payloads, testing::UnorderedElementsAre("ours", "theirs"));
}

}  // namespace
}  // namespace ez::queue
