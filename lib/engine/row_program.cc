#include "lib/engine/row_program.h"

namespace padless {

Status check_experts(const ExpertsStep& step, int64_t in_cols, int64_t out_cols) {
  const auto count = static_cast<int64_t>(step.experts.size());
  PADLESS_CHECK(step.router && step.router->in_features() == in_cols && step.router->out_features() == count,
                Code::kInvalidArgument, "router", "the router does not lead from ", in_cols, " columns to ",
                count, " experts");
  PADLESS_CHECK(step.chosen > 0 && step.chosen <= count, Code::kInvalidArgument, "chosen", step.chosen,
                " of ", count, " experts");
  for (const Expert& expert : step.experts) {
    PADLESS_CHECK(expert.up && expert.down && expert.up->in_features() == in_cols &&
                      expert.down->in_features() == expert.up->out_features() &&
                      expert.down->out_features() == out_cols,
                  Code::kInvalidArgument, "experts", "an expert does not lead from ", in_cols, " to ",
                  out_cols, " columns");
  }
  PADLESS_CHECK(step.out != step.in && step.out != step.residual, Code::kInvalidArgument, "program",
                "experts cannot write to what they read");
  return Status::ok();
}

}  // namespace padless
