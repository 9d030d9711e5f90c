import { absolutePositions, bertBuffers, bertSpec, bertWeights } from './bert';
import type { Family } from './spec';
import { linear } from './weight_tables';

/** ELECTRA (arXiv:2003.10555): BERT with embeddings that may be narrower, projected after their norm. */
export const electra: Family = {
  modelTypes: ['electra'],
  spec: (field) => {
    const spec = { ...bertSpec(field), positions: absolutePositions(field) };
    const width = field.integer('embedding_size', { min: 1 }, 128);
    return { ...spec, embeddings: { ...spec.embeddings, width, projection: width !== spec.hiddenSize } };
  },
  prefixes: ['electra.'],
  weights: { ...bertWeights, ...linear('embeddings_project', 'embeddings.projection') },
  ignored: bertBuffers,
};
