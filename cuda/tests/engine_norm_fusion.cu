// Encoders whose products and norms run as one kernel: as close to f32 as with two, the same bits in every
// batch and every mode, and one sequence's NaN in no other.
#include "cuda/tests/encoder_support.h"

namespace padless::cuda::test {
namespace {

EncoderSpec post_norm(ComputeType compute) {
  EncoderSpec spec = small_spec();
  spec.compute = compute;
  return spec;
}

/** The sum is carried on beside its norm, and the last norm stands alone. */
EncoderSpec pre_norm(ComputeType compute) {
  EncoderSpec spec = post_norm(compute);
  spec.norm = {.kind = NormKind::kRms, .placement = NormPlacement::kPre, .bias = false, .final = true};
  spec.mlp.glu = true;
  return spec;
}

/** Norms that add to what they normalise: none of them joins a product. */
EncoderSpec sandwich(ComputeType compute) {
  EncoderSpec spec = pre_norm(compute);
  spec.norm.placement = NormPlacement::kSandwich;
  return spec;
}

Session session_of(const EncoderSpec& spec, NormFusion fusion, CudaEngineOptions options = {}) {
  options.norm_fusion = fusion;
  return Session(load_encoder(open_engine(options), spec));
}

using SpecOf = EncoderSpec (*)(ComputeType);

/** Against f32, the error with one kernel is at most twice that with two. */
template <class T>
void test_results(SpecOf spec_of, ComputeType compute, const std::string& name, bool joins, bool quick) {
  Random random(3);
  auto joined = session_of(spec_of(compute), NormFusion::kAlways),
       apart = session_of(spec_of(compute), NormFusion::kNever),
       exact = session_of(spec_of(ComputeType::kF32), NormFusion::kAlways);
  ErrorRule<T> rule;
  bool differ = false;
  for (const auto& lengths : std::vector<std::vector<int32_t>>{{1}, {70, 3}, {5, 0, 33, 17}, {150, 149}}) {
    if (quick && lengths.front() == 150) continue;
    const TestBatch batch = make_batch(lengths, random);
    const Rows one = forward(joined, batch), two = forward(apart, batch), f32 = forward(exact, batch);
    differ |= !same_bits(one, two);
    for (size_t i = 0; i < one.size(); i++)
      rule.add(static_cast<double>(one[i]), static_cast<double>(two[i]), static_cast<double>(f32[i]));
  }
  rule.check(name);
  check(differ == joins, concat(name, joins ? ": another kernel has run" : ": the same kernels have run"));
  check_no_fault(name);
}

/** Captured, replayed, overlapping, beside other sequences: the same bits. */
void test_bits(SpecOf spec_of, const std::string& name, bool quick) {
  Random random(4);
  const EncoderSpec spec = spec_of(ComputeType::kBF16);
  const CudaEngineOptions invariant{.batch_invariant = true, .graphs = false};
  auto plain = session_of(spec, NormFusion::kAlways, invariant);
  const TestBatch alone = make_batch({45}, random);
  TestBatch among = make_batch({45, 80, 20}, random);
  std::ranges::copy(alone.ids, among.ids.begin());
  const Rows row = forward(plain, alone), rows = forward(plain, among);
  check(std::equal(row.begin(), row.begin() + 45 * kHidden, rows.begin()),
        name + ": a sequence alone and among others");
  for (const bool overlap : {false, true}) {
    if (quick && !overlap) continue;
    auto replaying =
        session_of(spec, NormFusion::kAlways, {.batch_invariant = true, .graphs = true, .overlap = overlap});
    for (int round = 0; round < (quick ? 2 : 3); round++) {
      check(same_bits(forward(replaying, alone), row) && same_bits(forward(replaying, among), rows),
            concat(name, overlap ? ", overlapping" : "", ": as a graph, round ", round));
    }
    check(replaying.encoder->engine().recording_counts().replayed >= 2, name + ": replayed");
  }
  check_no_fault(name);
}

void test_isolation(SpecOf spec_of, const std::string& name) {
  Random random(5);
  auto session = session_of(spec_of(ComputeType::kBF16), NormFusion::kAlways);
  TestBatch batch = make_batch({9, 40, 30}, random);
  std::fill(batch.ids.begin() + 9, batch.ids.begin() + 49, kNanId);
  const Rows rows = forward(session, batch);
  bool isolated = true;
  for (int64_t t = 0; t < 79; t++) {
    const bool poisoned = t >= 9 && t < 49;
    for (int64_t c = 0; c < kHidden; c++)
      isolated &= std::isnan(rows[static_cast<size_t>(t * kHidden + c)]) == poisoned;
  }
  check(isolated, name + ": NaN in its own sequence alone");
  check_no_fault(name);
}

/** Left to the engine, batch invariance wins. */
void test_auto() {
  Random random(6);
  const TestBatch batch = make_batch({60, 61}, random);
  const EncoderSpec spec = post_norm(ComputeType::kBF16);
  auto chosen = session_of(spec, NormFusion::kAuto, {.batch_invariant = true}),
       apart = session_of(spec, NormFusion::kNever, {.batch_invariant = true});
  check(same_bits(forward(chosen, batch), forward(apart, batch)), "batch invariant: two kernels");
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless;
  using namespace padless::cuda;
  const bool quick = argc > 1;
  test::test_results<bf16>(test::post_norm, ComputeType::kBF16, "post-norm", true, quick);
  test::test_results<bf16>(test::pre_norm, ComputeType::kBF16, "pre-norm", true, quick);
  test::test_bits(test::post_norm, "post-norm bits", quick);
  if (!quick) {
    test::test_results<fp16>(test::post_norm, ComputeType::kF16, "post-norm f16", true, quick);
    test::test_results<bf16>(test::sandwich, ComputeType::kBF16, "sandwich", false, quick);
    test::test_bits(test::pre_norm, "pre-norm bits", quick);
  }
  test::test_isolation(test::post_norm, "post-norm");
  test::test_isolation(test::pre_norm, "pre-norm");
  test::test_auto();
  return test::report("engine_norm_fusion");
}
