// An ordered queue of work on one device, and marks in it.
#pragma once

#include <functional>
#include <memory>

#include "lib/core/status.h"

namespace padless {

/** Tasks run one after another, in the order of their enqueueing, off the caller's thread. */
class Stream {
 public:
  virtual ~Stream() = default;

  /** Runs `task` on the stream's thread after everything enqueued before; its ops are this stream's work.
   * What it throws is the status of the next completion. */
  virtual void enqueue(std::function<void()> task) = 0;

  /** Calls `done` (on some thread, never the caller's) when all earlier work has finished on the device. */
  virtual void on_complete(std::function<void(Status)> done) = 0;
};

/** A point in a stream that other streams can wait for. Recording again moves it. */
class Event {
 public:
  virtual ~Event() = default;
  virtual Status record(Stream& stream) = 0;
  /** Later work of `stream` starts after the point last recorded; returns at once, also if none was. */
  virtual Status wait(Stream& stream) = 0;
  virtual bool is_complete() const = 0;
  /** Milliseconds between two recorded and completed events; E_INVALID_ARGUMENT otherwise. */
  virtual Result<double> milliseconds_since(const Event& start) const = 0;
};

}  // namespace padless
