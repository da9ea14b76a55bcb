// Fields under the name by which the endpoints know it. Internal to http/api/.
#pragma once

#include "base/fields.h"

namespace ez::http::api {

using ez::Fields;

}  // namespace ez::http::api
