import { absolutePositions, bertBuffers } from './bert';
import { postNormSpec, readSizes, refuseDecodersAndRemoteCode } from './sizes';
import type { Family } from './spec';
import {
  attentionNorm,
  bertEmbeddings,
  down,
  key,
  linear,
  mlpNorm,
  norm,
  output,
  query,
  up,
  value,
} from './weight_tables';

const sizes = {
  hiddenSize: 'dim',
  heads: 'n_heads',
  layers: 'n_layers',
  intermediateSize: 'hidden_dim',
  activation: 'activation',
  eps: 'layer_norm_eps',
};

const layer = 'transformer.layer.{i}';

/** DistilBERT (arXiv:1910.01108): BERT without token types and pooler, under keys of its own. */
export const distilBert: Family = {
  modelTypes: ['distilbert'],
  spec: (field) => {
    refuseDecodersAndRemoteCode(field);
    const spec = postNormSpec(readSizes(field, { activation: 'gelu', eps: 1e-12 }, sizes));
    // Sinusoidal positions are stored as a table too.
    return { ...spec, positions: absolutePositions(field) };
  },
  prefixes: ['distilbert.'],
  weights: {
    ...bertEmbeddings,
    ...linear(`${layer}.attention.q_lin`, query),
    ...linear(`${layer}.attention.k_lin`, key),
    ...linear(`${layer}.attention.v_lin`, value),
    ...linear(`${layer}.attention.out_lin`, output),
    ...norm(`${layer}.sa_layer_norm`, attentionNorm),
    ...linear(`${layer}.ffn.lin1`, up),
    ...linear(`${layer}.ffn.lin2`, down),
    ...norm(`${layer}.output_layer_norm`, mlpNorm),
  },
  ignored: bertBuffers,
};
