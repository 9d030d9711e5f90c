import { checkRemoteCode } from './remote_code';
import { readRope } from './ropes';
import { declaredBias, llamaSizes, llamaSpec, readSizes, refuseUnless, withRope } from './sizes';
import type { Family } from './spec';
import { llamaWeights } from './weight_tables';

/** EuroBERT (arXiv:2503.05500): Llama's layers, attending both ways. */
export const euroBert: Family = {
  modelTypes: ['eurobert'],
  spec: (field) => {
    checkRemoteCode(field, {
      repositories: ['EuroBERT/EuroBERT-210m', 'EuroBERT/EuroBERT-610m', 'EuroBERT/EuroBERT-2.1B', ''],
      modules: ['configuration_eurobert', 'modeling_eurobert'],
      classes: /^EuroBert(Config|Model|For\w+)$/,
    });
    refuseUnless(field, { is_decoder: [false] });
    const sizes = readSizes(field, { activation: 'silu', eps: 1e-5 }, llamaSizes);
    const spec = llamaSpec(field, sizes);
    return { ...spec, ...withRope(spec.layers, readRope(field, { headDim: sizes.headDim })) };
  },
  prefixes: ['model.'],
  hasBias: declaredBias,
  weights: llamaWeights,
  ignored: [],
};
