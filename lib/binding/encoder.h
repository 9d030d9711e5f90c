// A loaded encoder as JS holds it: the shared weights, and a stream of its own on which it runs.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "lib/encoder/encoder.h"

namespace padless::binding {

/** The JS handle's half of an encoder. Runs hold it by shared_ptr, so it outlives a dispose until they end. */
class EncoderSession {
 public:
  static Result<std::shared_ptr<EncoderSession>> create(std::shared_ptr<Encoder> encoder);

  Encoder& encoder() const { return *encoder_; }
  Stream& stream() const { return *stream_; }

  /** A flag that close() sets too. */
  std::shared_ptr<CancelFlag> begin_run();
  void end_run(const std::shared_ptr<CancelFlag>& flag);

  /** Stops what is queued and running at its next step. */
  void close();

 private:
  EncoderSession(std::shared_ptr<Encoder> encoder, std::shared_ptr<Stream> stream)
      : encoder_(std::move(encoder)), stream_(std::move(stream)) {}

  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Stream> stream_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<CancelFlag>> runs_;
};

}  // namespace padless::binding
