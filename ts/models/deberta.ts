import { activations } from './activations';
import { absolutePositions, bertBuffers } from './bert';
import type { Reader } from './reader';
import { postNormSpec, readSizes, refuseDecodersAndRemoteCode, refuseUnless } from './sizes';
import type { BiasSpec, EncoderSpec, Family, WeightTable } from './spec';
import { bertBlocks, bertEmbeddings, key, linear, norm, plain, query, value } from './weight_tables';

type PositionTerm = 'c2p' | 'p2c';

/** `pos_att_type`: a list, or words between bars. */
function positionTerms(field: Reader): PositionTerm[] {
  const given = field.raw('pos_att_type');
  if (given === undefined || given === '') return [];
  const words: unknown = typeof given === 'string' ? given.toLowerCase().split('|') : given;
  if (Array.isArray(words)) {
    const terms = words.map((word) => (typeof word === 'string' ? word.trim() : word) as unknown);
    if (terms.every((term): term is PositionTerm => term === 'c2p' || term === 'p2c')) return terms;
  }
  throw field.error(
    'pos_att_type',
    `is ${JSON.stringify(given)}; only c2p and p2c are supported`,
    'E_UNSUPPORTED',
  );
}

/** The farthest distance that the model tells apart. */
function relativePositions(field: Reader): number {
  const given = field.integer('max_relative_positions', { max: 2 ** 20 }, -1);
  return given > 0 ? given : field.integer('max_position_embeddings', { min: 1, max: 2 ** 20 });
}

/**
 * DeBERTa v2's buckets for a distance: exact up to half of them, then logarithmic up to `farthest` - 1. In float32,
 * as transformers computes it: a bucket's edge must not move.
 */
export function logBucket(distance: number, buckets: number, farthest: number): number {
  const middle = Math.floor(buckets / 2);
  const size = Math.abs(distance);
  if (size <= middle) return distance;
  const { fround } = Math;
  const logOf = (ratio: number) => fround(Math.log(fround(ratio)));
  const share = fround(logOf(size / middle) / logOf((farthest - 1) / middle));
  return Math.sign(distance) * (Math.ceil(fround(share * (middle - 1))) + middle);
}

/** Rows of the position table for query - key from -reach to reach; `span` rows on each side of the middle. */
function tableRows(reach: number, span: number, bucketOf: (distance: number) => number): Int32Array {
  return Int32Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.min(Math.max(bucketOf(i - reach) + span, 0), 2 * span - 1),
  );
}

/** What v1 and v2 share; `bias` is given where the config asks for relative attention. */
function debertaSpec(field: Reader, terms: readonly PositionTerm[], bias: BiasSpec | undefined): EncoderSpec {
  refuseDecodersAndRemoteCode(field);
  const sizes = readSizes(field, { activation: 'gelu', eps: 1e-7 });
  refuseUnless(field, {
    attention_head_size: [sizes.headDim],
    talking_head: [false],
  });
  const hasAbsolute = field.boolean('position_biased_input', true);
  const base = postNormSpec(sizes);
  const width = field.integer('embedding_size', { min: 1 }, sizes.hiddenSize);
  const isNarrow = width !== sizes.hiddenSize;
  return {
    ...base,
    embeddings: { ...base.embeddings, width, projection: isNarrow, normAfterProjection: isNarrow },
    // One term more than those of positions: content to content.
    attentionScale: 1 / Math.sqrt(sizes.headDim * (1 + new Set(terms).size)),
    positions: hasAbsolute ? absolutePositions(field) : { rows: 0, offset: 0 },
    tokenTypes: field.integer('type_vocab_size', { min: 0 }, 0),
    ...(bias && { bias }),
  };
}

function disentangled(
  terms: readonly PositionTerm[],
  reach: number,
  span: number,
): BiasSpec & { kind: 'disentangled' } {
  return {
    kind: 'disentangled',
    tableRows: 2 * span,
    reach,
    rows: tableRows(reach, span, (distance) => distance),
    c2p: terms.includes('c2p'),
    p2c: terms.includes('p2c'),
    sharedProjections: false,
    norm: false,
  };
}

/** Whether queries and keys are compared with positions at all. */
function isRelative(field: Reader, terms: readonly PositionTerm[]): boolean {
  return field.boolean('relative_attention', false) && terms.length > 0;
}

const layer = 'encoder.layer.{i}';
const self = `${layer}.attention.self`;
const positionKey = 'layers.{i}.attention.positionKey';
const positionQuery = 'layers.{i}.attention.positionQuery';

const weights: WeightTable = {
  ...bertEmbeddings,
  ...bertBlocks(layer),
  ...plain('embeddings.embed_proj', 'embeddings.projection'),
  'encoder.rel_embeddings.weight': 'positions.relative',
};

/** DeBERTa (arXiv:2006.03654): attention compares contents with relative positions, query and key each. */
export const deberta: Family = {
  modelTypes: ['deberta'],
  spec: (field) => {
    const terms = positionTerms(field);
    if (!isRelative(field, terms)) return debertaSpec(field, terms, undefined);
    const span = relativePositions(field);
    return debertaSpec(field, terms, disentangled(terms, span, span));
  },
  prefixes: ['deberta.'],
  weights: ({ heads }) => ({
    ...weights,
    // Each head's query, key and value rows follow each other.
    [`${self}.in_proj.weight`]: [query, key, value].map((name, index) => ({
      name: `${name}.weight`,
      index,
      parts: 3,
      groups: heads,
    })),
    [`${self}.q_bias`]: `${query}.bias`,
    [`${self}.v_bias`]: `${value}.bias`,
    ...plain(`${self}.pos_proj`, positionKey),
    ...linear(`${self}.pos_q_proj`, positionQuery),
  }),
  ignored: bertBuffers,
};

function v2Bias(field: Reader, terms: readonly PositionTerm[]): BiasSpec {
  const reach = relativePositions(field);
  const buckets = field.integer('position_buckets', { max: 2 ** 20 }, -1);
  const span = buckets > 0 ? buckets : reach;
  if (buckets > 0 && (buckets < 2 || reach - 1 <= Math.floor(buckets / 2))) {
    throw field.error('position_buckets', `${buckets} leaves none for distances up to ${reach}`);
  }
  const norms = field.string('norm_rel_ebd', 'none').toLowerCase().split('|');
  const bucketOf = (distance: number) => (buckets > 0 ? logBucket(distance, buckets, reach) : distance);
  return {
    ...disentangled(terms, reach, span),
    rows: tableRows(reach, span, bucketOf),
    sharedProjections: field.boolean('share_att_key', false),
    norm: norms.some((word) => word.trim() === 'layer_norm'),
  };
}

function convolution(field: Reader): Pick<EncoderSpec, 'convolution'> {
  const kernel = field.integer('conv_kernel_size', { min: 0, max: 31 }, 0);
  if (kernel === 0) return {};
  if (kernel % 2 === 0)
    throw field.error('conv_kernel_size', `${kernel} is even, which is not supported`, 'E_UNSUPPORTED');
  const known = { ...activations, tanh: 'tanh' } as const;
  const activation = known[field.oneOf('conv_act', Object.keys(known) as (keyof typeof known)[], 'tanh')];
  return { convolution: { kernel, groups: field.integer('conv_groups', { min: 1 }, 1), activation } };
}

/**
 * DeBERTa v2 and v3 (arXiv:2111.09543), mDeBERTa: buckets of distances, projections shared with those of the
 * contents, a norm of the position table, and v2 xlarge's convolution.
 */
export const debertaV2: Family = {
  modelTypes: ['deberta-v2'],
  spec: (field) => {
    const terms = positionTerms(field);
    const bias = isRelative(field, terms) ? v2Bias(field, terms) : undefined;
    return { ...debertaSpec(field, terms, bias), ...convolution(field) };
  },
  prefixes: ['deberta.'],
  weights: {
    ...weights,
    ...linear(`${self}.query_proj`, query),
    ...linear(`${self}.key_proj`, key),
    ...linear(`${self}.value_proj`, value),
    ...linear(`${self}.pos_key_proj`, positionKey),
    ...linear(`${self}.pos_query_proj`, positionQuery),
    ...norm('encoder.LayerNorm', 'positions.norm'),
    ...linear('encoder.conv.conv', 'convolution'),
    ...norm('encoder.conv.LayerNorm', 'convolution.norm'),
  },
  ignored: bertBuffers,
};
