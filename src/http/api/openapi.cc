// GET /openapi.json: the document that describes all of this. openapi.json is its source; the build turns it
// into a text of the program, and a test compares it with the routes.
#include "http/api/context.h"

namespace ez::http::api {
namespace {

Status show_openapi(Context&, Request&, const DeferredPtr& answer) {
  answer->json(200, std::string(openapi_text()));
  return {};
}

}  // namespace

void add_openapi_routes(Router& router, Context& context) {
  // The document describes the public interface of every ez; any caller with a token may read it.
  add_route(router, context, Method::kGet, "/openapi.json", security::Permission::kArtifactRead,
            "This document", show_openapi);
}

}  // namespace ez::http::api
