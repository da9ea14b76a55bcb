#include "http/server.h"

#include <thread>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread_name.h"
#include "base/thread_turns.h"
#include "http/listener.h"
#include "http/shard.h"

namespace ez::http {

struct Server::Impl {
  Impl(ServerOptions options, Router router, Gate gate)
      : shared{std::move(options), std::move(router), std::move(gate)} {}

  ServerShared shared;
  std::vector<std::unique_ptr<Shard>> shards;
  std::unique_ptr<Listener> listener;
  std::vector<std::thread> threads;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Router router, Gate gate) {
  EZ_CHECK(options.io_threads >= 1, "a server needs at least one thread");
  auto impl = std::make_unique<Impl>(std::move(options), std::move(router), std::move(gate));
  EZ_ASSIGN(impl->listener, Listener::bind(impl->shared.options));
  for (int i = 0; i < impl->shared.options.io_threads; ++i) {
    EZ_ASSIGN(std::shared_ptr<EventLoop> loop, EventLoop::create());
    impl->shards.push_back(std::make_unique<Shard>(std::move(loop), impl->shared));
  }
  EZ_TRY(impl->listener->start(impl->shards));
  impl->shards.front()->on_stop = [listener = impl->listener.get()] { listener->stop(); };
  for (const auto& shard : impl->shards) {
    impl->threads.emplace_back([shard = shard.get()] {
      name_thread("ez-http");
      take_short_turns();
      shard->run();
    });
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::~Server() { stop(std::chrono::milliseconds(0)); }

std::uint16_t Server::port() const { return impl_->listener->port(); }
const Router& Server::router() const { return impl_->shared.router; }

ServerFigures Server::figures() const {
  const ServerShared& shared = impl_->shared;
  return ServerFigures{shared.connections.load(), shared.accepted.load(), shared.refused.load(),
                       shared.requests.load()};
}

void Server::stop(std::chrono::milliseconds grace) {
  if (impl_->threads.empty()) return;
  const std::int64_t deadline_us = system_clock().monotonic_us() + grace.count() * 1000;
  for (const auto& shard : impl_->shards) shard->stop(deadline_us);
  for (std::thread& thread : impl_->threads) thread.join();
  impl_->threads.clear();
}

}  // namespace ez::http
