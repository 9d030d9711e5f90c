import type { Activation, Family } from './spec';
import { bertBuffers } from './bert';
import type { Reader } from './reader';
import { checkRemoteCode } from './remote_code';
import { postNormSpec, readSizes, refuseUnless } from './sizes';
import {
  attentionNorm,
  bertEmbeddings,
  down,
  gate,
  key,
  linear,
  mlpNorm,
  norm,
  output,
  packedPlain,
  query,
  up,
  value,
} from './weight_tables';

/**
 * ALiBi's slopes (arXiv:2108.12409, section 3): 2^(-8 i / n) for n heads, a power of two; otherwise those of the
 * power below, and every other one of twice as many, as in the paper's code.
 */
export function alibiSlopes(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads));
  const slopes = Array.from({ length: power }, (_, i) => 2 ** ((-8 * (i + 1)) / power));
  if (power === heads) return slopes;
  const between = alibiSlopes(2 * power).filter((_, i) => i % 2 === 0);
  return [...slopes, ...between.slice(0, heads - power)];
}

const activations: Readonly<Record<'geglu' | 'reglu', Activation>> = { geglu: 'gelu', reglu: 'relu' };

function spec(field: Reader) {
  checkRemoteCode(field, {
    repositories: ['jinaai/jina-bert-implementation'],
    modules: ['configuration_bert', 'modeling_bert'],
    classes: /^JinaBert(Config|Model|For\w+)$/,
  });
  refuseUnless(field, { is_decoder: [false], add_cross_attention: [false] });
  field.oneOf('position_embedding_type', ['alibi']);
  const sizes = readSizes(field, { activation: 'gelu', eps: 1e-12 });
  const base = postNormSpec(sizes);
  const activation = activations[field.oneOf('feed_forward_type', ['geglu', 'reglu'])];
  return {
    ...base,
    tokenTypes: field.integer('type_vocab_size', { min: 1 }, 2),
    bias: { kind: 'alibi' as const, slopes: alibiSlopes(sizes.heads) },
    mlp: { ...base.mlp, kind: 'glu' as const, activation },
  };
}

const layer = 'encoder.layer.{i}';

/** JinaBERT v2 (arXiv:2310.19923): BERT with symmetric ALiBi and GeGLU, told from BERT by the code it names. */
export const jinaBert: Family = {
  modelTypes: ['bert'],
  claims: (config) => JSON.stringify(config['auto_map'] ?? null).includes('.JinaBert'),
  spec,
  prefixes: ['bert.'],
  weights: {
    ...bertEmbeddings,
    ...linear(`${layer}.attention.self.query`, query),
    ...linear(`${layer}.attention.self.key`, key),
    ...linear(`${layer}.attention.self.value`, value),
    ...linear(`${layer}.attention.output.dense`, output),
    ...norm(`${layer}.attention.output.LayerNorm`, attentionNorm),
    ...packedPlain(`${layer}.mlp.gated_layers`, [gate, up]),
    ...linear(`${layer}.mlp.wo`, down),
    ...norm(`${layer}.mlp.layernorm`, mlpNorm),
    ...linear('pooler.dense', 'pooler'),
  },
  ignored: bertBuffers,
};
