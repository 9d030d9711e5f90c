// Attention compared bit by bit: a sequence alone, and in a batch in any order.
#pragma once

#include "cuda/tests/attention_problem.h"
#if PADLESS_EMULATED
#include "cuda/emulator/emulator.h"
#endif

namespace padless::cuda::test {

// What a run does: everything, or what a sanitizer has time for.
struct Effort {
  int repeats;
  int32_t longest;
};
inline Effort effort_of(bool quick) {
  if (quick) return {5, 300};
  return {PADLESS_EMULATED ? 25 : 250, 2048};  // the emulator takes another order each time, a GPU by chance
}

// The emulator's order follows from its seed, unless it is fifo.
template <class T>
Outcome<T> run_in_another_order(Problem<T>& problem) {
#if PADLESS_EMULATED
  emulator::options().seed++;
#endif
  return problem.run();
}

// The rows [first, first + count) of all heads.
template <class T>
std::vector<T> rows_of(const Outcome<T>& outcome, const AttentionCase& c, int64_t first, int64_t count) {
  const int64_t width = c.heads * c.head_dim;
  return {outcome.out.begin() + first * width, outcome.out.begin() + (first + count) * width};
}

// The sequences of `order` of the same data, as a batch of their own.
template <class T>
Outcome<T> run_chosen(Problem<T>& all, const AttentionCase& c, const std::vector<size_t>& order) {
  AttentionCase chosen = c;
  chosen.lengths.clear();
  for (size_t b : order) chosen.lengths.push_back(c.lengths[b]);
  Problem<T> problem(chosen);
  for (size_t b = 0; b < order.size(); b++) problem.copy_sequence(b, all, order[b]);
  return problem.run();
}

// A sequence's bits are the same alone, in the batch, and in the batch in another order.
template <class T>
void check_alone_and_permuted(const AttentionCase& c, const std::vector<size_t>& order) {
  Problem<T> problem(c);
  const Outcome<T> whole = problem.run();
  const Outcome<T> permuted = run_chosen(problem, c, order);
  int64_t first = 0;
  for (size_t b : order) {
    const int64_t length = c.lengths[b];
    const auto expected = rows_of(whole, c, problem.begin(b), length);
    check(same_bits(expected, rows_of(permuted, c, first, length)),
          c.name() + concat(": sequence ", b, " in another order"));
    check(same_bits(expected, run_chosen(problem, c, {b}).out),
          c.name() + concat(": sequence ", b, " alone"));
    first += length;
  }
}

/** The same attention with its tiles padded for batches of more tokens and sequences. */
inline void check_padded(AttentionCase c) {
  const auto exact = run_case<bf16>(c);
  c.options.token_capacity = 512;
  c.options.sequence_capacity = 16;
  const auto padded = run_case<bf16>(c);
  check(same_bits(exact.out, padded.out) && same_bits(exact.lse, padded.lse),
        c.name() + ": tiles that do nothing change nothing");
}

}  // namespace padless::cuda::test
