// Side streams for the groups of an attention plan, forked from and joined to the stream of the call by
// events.
#include <utility>

#include "cuda/padless_cuda.h"

namespace padless::cuda {

struct AttentionStreams::State {
  struct Side {
    cudaStream_t stream = nullptr;
    cudaEvent_t done = nullptr;
  };
  std::vector<Side> sides;
  cudaEvent_t start = nullptr;

  ~State() {
    for (const Side& side : sides) {
      if (side.done != nullptr) static_cast<void>(cudaEventDestroy(side.done));
      if (side.stream != nullptr) static_cast<void>(cudaStreamDestroy(side.stream));
    }
    if (start != nullptr) static_cast<void>(cudaEventDestroy(start));
  }
};

Result<AttentionStreams> AttentionStreams::create(int streams) {
  PADLESS_CHECK(streams >= 1, Code::kInvalidArgument, "streams", streams, " streams; at least 1");
  auto state = std::make_unique<State>();
  PADLESS_RETURN_IF_ERROR(to_status(cudaEventCreateWithFlags(&state->start, cudaEventDisableTiming)));
  state->sides.resize(static_cast<size_t>(streams) - 1);
  for (State::Side& side : state->sides) {
    PADLESS_RETURN_IF_ERROR(to_status(cudaStreamCreateWithFlags(&side.stream, cudaStreamNonBlocking)));
    PADLESS_RETURN_IF_ERROR(to_status(cudaEventCreateWithFlags(&side.done, cudaEventDisableTiming)));
  }
  return AttentionStreams(std::move(state));
}

AttentionStreams::AttentionStreams(std::unique_ptr<State> state) : state_(std::move(state)) {}
AttentionStreams::AttentionStreams(AttentionStreams&&) noexcept = default;
AttentionStreams& AttentionStreams::operator=(AttentionStreams&&) noexcept = default;
AttentionStreams::~AttentionStreams() = default;

int AttentionStreams::count() const { return static_cast<int>(state_->sides.size()) + 1; }

Status AttentionStreams::fork(cudaStream_t main) {
  PADLESS_RETURN_IF_ERROR(to_status(cudaEventRecord(state_->start, main)));
  for (const State::Side& side : state_->sides) {
    PADLESS_RETURN_IF_ERROR(to_status(cudaStreamWaitEvent(side.stream, state_->start)));
  }
  return Status::ok();
}

Status AttentionStreams::join(cudaStream_t main) {
  for (const State::Side& side : state_->sides) {
    PADLESS_RETURN_IF_ERROR(to_status(cudaEventRecord(side.done, side.stream)));
    PADLESS_RETURN_IF_ERROR(to_status(cudaStreamWaitEvent(main, side.done)));
  }
  return Status::ok();
}

cudaStream_t AttentionStreams::stream(cudaStream_t main, int index) const {
  return index == 0 ? main : state_->sides[static_cast<size_t>(index) - 1].stream;
}

}  // namespace padless::cuda
