import { absolutePositions, bertBuffers, bertSpec } from './bert';
import type { Reader } from './reader';
import { MOST } from './sizes';
import { fullLayers, type Family, type LayerSpec, type WeightTable } from './spec';
import { bertEmbeddings, linear, norm } from './weight_tables';

interface Sharing {
  layers: number;
  groups: number;
  /** Layers that a group runs one after another. */
  inner: number;
}

function sharing(field: Reader): Sharing {
  const layers = field.integer('num_hidden_layers', { min: 0, max: MOST.layers });
  const groups = field.integer('num_hidden_groups', { min: 1, max: MOST.layers }, 1);
  const inner = field.integer('inner_group_num', { min: 1, max: MOST.layers }, 1);
  const count = Math.max(layers, groups) * inner;
  if (count > MOST.layers) {
    throw field.error(
      'inner_group_num',
      `${inner} makes ${count} layers; at most ${MOST.layers} are supported`,
    );
  }
  return { layers, groups, inner };
}

/** Layer i runs all inner layers of group floor(i * groups / layers). */
function sharedLayers({ layers, groups, inner }: Sharing): LayerSpec[] {
  const [layer] = fullLayers(1);
  return Array.from({ length: layers * inner }, (_, i) => {
    const group = Math.floor(Math.floor(i / inner) / (layers / groups));
    return { ...layer!, weights: group * inner + (i % inner) };
  });
}

function layerWeights(group: number, member: number, inner: number): WeightTable {
  const layer = `encoder.albert_layer_groups.${group}.albert_layers.${member}`;
  const target = `layers.${group * inner + member}`;
  return {
    ...linear(`${layer}.attention.query`, `${target}.attention.query`),
    ...linear(`${layer}.attention.key`, `${target}.attention.key`),
    ...linear(`${layer}.attention.value`, `${target}.attention.value`),
    ...linear(`${layer}.attention.dense`, `${target}.attention.output`),
    ...norm(`${layer}.attention.LayerNorm`, `${target}.attention.norm`),
    ...linear(`${layer}.ffn`, `${target}.mlp.up`),
    ...linear(`${layer}.ffn_output`, `${target}.mlp.down`),
    ...norm(`${layer}.full_layer_layer_norm`, `${target}.mlp.norm`),
  };
}

/** ALBERT (arXiv:1909.11942): layers share tensors in groups; embeddings are narrower and projected. */
export const albert: Family = {
  modelTypes: ['albert'],
  spec: (field) => {
    const spec = { ...bertSpec(field, 'gelu_new'), positions: absolutePositions(field) };
    const width = field.integer('embedding_size', { min: 1 }, 128);
    const embeddings = { ...spec.embeddings, width, projection: true };
    return { ...spec, embeddings, layers: sharedLayers(sharing(field)) };
  },
  prefixes: ['albert.'],
  weights: (_, field) => {
    const { groups, inner } = sharing(field);
    const tables = Array.from({ length: groups * inner }, (_unused, i) =>
      layerWeights(Math.floor(i / inner), i % inner, inner),
    );
    return Object.assign(
      {},
      bertEmbeddings,
      linear('encoder.embedding_hidden_mapping_in', 'embeddings.projection'),
      linear('pooler', 'pooler'),
      ...tables,
    ) as WeightTable;
  },
  ignored: bertBuffers,
};
