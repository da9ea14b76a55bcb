// BrokerBus: the Bus over any Driver. Owns the threads of Control and Publisher, and one GroupReader for each
// group that this handle consumes.
#pragma once

#include <memory>

#include "queue/broker/driver.h"
#include "queue/bus.h"

namespace ez::queue::broker {

// Does not connect; the options have been checked.
[[nodiscard]] std::unique_ptr<Bus> make_broker_bus(std::unique_ptr<Driver> driver, BrokerOptions options);

}  // namespace ez::queue::broker
