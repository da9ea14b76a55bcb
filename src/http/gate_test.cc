#include "http/gate.h"

#include <gtest/gtest.h>

#include "http/problem.h"
#include "http/router.h"

namespace ez::http {
namespace {

using security::Permission;
using security::Role;

class GateTest : public ::testing::Test {
 protected:
  static Gate gate(Role role, std::string name_space = "*") {
    security::Principal principal{
        "token:test", security::PrincipalKind::kPerson, {security::Grant{role, std::move(name_space)}}};
    return Gate(std::make_shared<security::TokenAuthenticator>("secret", principal),
                GateOptions{{"ez.example"}, {"https://console.example"}});
  }
  // The name of the refusal, or "" when the request may pass.
  static std::string admit(const Gate& gate, const std::vector<std::pair<std::string, std::string>>& headers,
                           std::optional<Permission> permission = Permission::kRunRead,
                           std::string_view query = "", std::string_view authority = "") {
    Request request;
    for (const auto& [name, value] : headers) request.headers.add(name, value);
    request.query = *Query::parse(query);
    Route route;
    route.permission = permission;
    const Status status = gate.admit(request, route, authority);
    EXPECT_EQ(status.ok() && permission, request.principal != nullptr && status.ok());
    return status.ok() ? "" : std::string(status.error().name());
  }
  const std::pair<std::string, std::string> host_{"Host", "localhost:7878"};
  const std::pair<std::string, std::string> token_{"Authorization", "Bearer secret"};
};

TEST_F(GateTest, TokenDecides) {
  const Gate open = gate(Role::kViewer);
  EXPECT_EQ(admit(open, {host_, token_}), "");
  EXPECT_EQ(admit(open, {host_, {"authorization", "bearer   secret "}}), "");
  EXPECT_EQ(admit(open, {host_}), "UNAUTHENTICATED");
  for (const char* wrong : {"", "secret", "Bearer", "Bearer ", "Bearer wrong", "Basic secret",
                            "Bearer secret2", "Bearersecret"}) {
    EXPECT_EQ(admit(open, {host_, {"Authorization", wrong}}), "UNAUTHENTICATED") << wrong;
  }
  EXPECT_EQ(admit(open, {host_, token_, token_}), "UNAUTHENTICATED");
}

TEST_F(GateTest, PermissionAndNamespaceDecide) {
  EXPECT_EQ(admit(gate(Role::kViewer), {host_, token_}, Permission::kRunStart), "PERMISSION_DENIED");
  EXPECT_EQ(admit(gate(Role::kOperator), {host_, token_}, Permission::kRunStart), "");
  const Gate team = gate(Role::kOperator, "team");
  EXPECT_EQ(admit(team, {host_, token_}, Permission::kRunStart), "PERMISSION_DENIED");
  EXPECT_EQ(admit(team, {host_, token_}, Permission::kRunStart, "namespace=team"), "");
  EXPECT_EQ(admit(team, {host_, token_}, Permission::kRunStart, "namespace=other"), "PERMISSION_DENIED");
}

TEST_F(GateTest, OpenRoutesNeedNothing) {
  EXPECT_EQ(admit(gate(Role::kViewer), {{"Host", "10.0.0.1"}}, std::nullopt), "");
}

TEST_F(GateTest, HostMustBeOurs) {
  const Gate open = gate(Role::kViewer);
  for (const char* ours : {"localhost", "LOCALHOST:1", "127.0.0.1:7878", "127.9.9.9", "[::1]:7878", "[::1]",
                           "a.localhost:80", "ez.example", "EZ.example:443"}) {
    EXPECT_EQ(admit(open, {{"Host", ours}, token_}), "") << ours;
  }
  for (const char* foreign :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "128.0.0.1", "[::2]", "",
        "evil.example:7878", "notlocalhost", ".localhost", "localhost:port", "[::1", "0.0.0.0"}) {
    EXPECT_EQ(admit(open, {{"Host", foreign}, token_}), "HOST_REFUSED") << foreign;
  }
  EXPECT_EQ(admit(open, {token_}), "REQUEST_INVALID");
  EXPECT_EQ(admit(open, {host_, host_, token_}), "REQUEST_INVALID");
  // The authority of an absolute target counts instead of the header.
  EXPECT_EQ(admit(open, {host_, token_}, Permission::kRunRead, "", "evil.example"), "HOST_REFUSED");
}

TEST_F(GateTest, OriginMustBeOurs) {
  const Gate open = gate(Role::kViewer);
  for (const char* ours : {"http://localhost:7878", "https://console.example"}) {
    EXPECT_EQ(admit(open, {host_, token_, {"Origin", ours}}), "") << ours;
  }
  for (const char* foreign : {"null", "", "http://evil.example", "http://localhost:1", "http://localhost",
                              "localhost:7878", "https://console.example.evil.example"}) {
    EXPECT_EQ(admit(open, {host_, token_, {"Origin", foreign}}), "ORIGIN_REFUSED") << foreign;
  }
}

TEST_F(GateTest, HandlersAskForAnotherNamespace) {
  Request request;
  request.principal = std::make_shared<security::Principal>(
      security::Principal{"token:test", security::PrincipalKind::kPerson, {{Role::kMaintainer, "team"}}});
  EXPECT_TRUE(Gate::permit(request, Permission::kRunStart, "team").ok());
  EXPECT_EQ(Gate::permit(request, Permission::kRunStart, "other").error().code(), Code::PermissionDenied);
  EXPECT_TRUE(Gate::permit_role(request, Role::kMaintainer, "team").ok());
  EXPECT_FALSE(Gate::permit_role(request, Role::kAdmin, "team").ok());
}

TEST(Problem, SaysEverythingAndReadsBack) {
  const Error error(Code::Overloaded, "the queue holds \"4096\" commands");
  const std::string text = problem_json(error, "req-1");
  EXPECT_EQ(text, R"({"type":"/errors/OVERLOADED","title":"Overloaded","status":503,"code":"OVERLOADED",)"
                  R"("detail":"the queue holds \"4096\" commands",)"
                  R"("hint":"Wait a moment and send the same request again.",)"
                  R"("retry":true,"instance":"req-1"})");
  const Error back = error_of_answer(503, "application/problem+json; charset=utf-8", text);
  EXPECT_EQ(back.code(), Code::Overloaded);
  EXPECT_EQ(back.message(), error.message());
  std::string headers;
  append_problem_headers(headers, error);
  EXPECT_EQ(headers, "Retry-After: 1\r\n");
}

TEST(Problem, WhatIsNotKnownIsShownNotBelieved) {
  const Error unknown =
      error_of_answer(418, "application/problem+json", R"({"code":"TEAPOT","detail":"short and stout"})");
  EXPECT_EQ(unknown.code(), Code::Internal);
  EXPECT_NE(unknown.message().find("TEAPOT: short and stout"), std::string::npos);
  const Error page = error_of_answer(502, "text/html", "<h1>Bad\ngateway</h1>" + std::string(10'000, 'x'));
  EXPECT_EQ(page.code(), Code::Internal);
  EXPECT_LT(page.message().size(), 600u);
  EXPECT_EQ(page.message().find('\n'), std::string::npos);
  EXPECT_EQ(error_of_answer(500, "application/problem+json", "{").code(), Code::Internal);
}

}  // namespace
}  // namespace ez::http
