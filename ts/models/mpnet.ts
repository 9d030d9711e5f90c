import { bertBuffers } from './bert';
import type { Reader } from './reader';
import { positionsAfterPad } from './roberta';
import { postNormSpec, readSizes, refuseDecodersAndRemoteCode } from './sizes';
import type { EncoderSpec, Family } from './spec';
import {
  attentionNorm,
  bertEmbeddings,
  bertBlocks,
  key,
  linear,
  norm,
  output,
  query,
  value,
} from './weight_tables';

const { fround } = Math;

/** Distances from here on share the last bucket of their side. */
const MAX_DISTANCE = 128;

/**
 * T5's buckets (arXiv:1910.10683, section 2.1) for key - query from -farthest to farthest: half of them for keys
 * after the query; of a side, half for one distance each, the others for ranges that grow by a constant factor.
 */
export function relativeBuckets(buckets: number, farthest = MAX_DISTANCE): Int32Array {
  const side = Math.floor(buckets / 2);
  const exact = Math.floor(side / 2);
  const bucketOf = (distance: number) => {
    if (distance < exact) return distance;
    // In float32, as transformers computes it: a bucket's edge must not move.
    const share = fround(fround(Math.log(fround(distance / exact))) / fround(Math.log(farthest / exact)));
    return Math.min(exact + Math.floor(fround(share * (side - exact))), side - 1);
  };
  return Int32Array.from({ length: 2 * farthest + 1 }, (_, i) => {
    const distance = i - farthest;
    return bucketOf(Math.abs(distance)) + (distance > 0 ? side : 0);
  });
}

function spec(field: Reader): EncoderSpec {
  refuseDecodersAndRemoteCode(field);
  const tableRows = field.integer('relative_attention_num_buckets', { min: 4, max: 4096 }, 32);
  return {
    ...postNormSpec(readSizes(field, { activation: 'gelu', eps: 1e-12 })),
    // transformers' class takes 1 whatever `pad_token_id` says.
    positions: positionsAfterPad(field, 1),
    bias: { kind: 'relative', tableRows, reach: MAX_DISTANCE, rows: relativeBuckets(tableRows) },
  };
}

const layer = 'encoder.layer.{i}';

/** MPNet (arXiv:2004.09297): BERT without token types, with a bias by relative position that all layers share. */
export const mpnet: Family = {
  modelTypes: ['mpnet'],
  spec,
  prefixes: ['mpnet.'],
  weights: {
    ...bertEmbeddings,
    ...bertBlocks(layer),
    ...linear(`${layer}.attention.attn.q`, query),
    ...linear(`${layer}.attention.attn.k`, key),
    ...linear(`${layer}.attention.attn.v`, value),
    ...linear(`${layer}.attention.attn.o`, output),
    ...norm(`${layer}.attention.LayerNorm`, attentionNorm),
    'encoder.relative_attention_bias.weight': 'positions.relative',
    ...linear('pooler.dense', 'pooler'),
  },
  ignored: bertBuffers,
};
