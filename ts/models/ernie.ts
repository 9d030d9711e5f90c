import { absolutePositions, bertBuffers, bertSpec, bertWeights } from './bert';
import type { Family } from './spec';

/** ERNIE 2 and 3, ERNIE-Gram (arXiv:1907.12412): BERT with task types, of which every token has type 0. */
export const ernie: Family = {
  modelTypes: ['ernie'],
  spec: (field) => {
    const spec = { ...bertSpec(field), positions: absolutePositions(field) };
    if (!field.boolean('use_task_id', false)) return spec;
    const addedRows = field.integer('task_type_vocab_size', { min: 1 }, 3);
    return { ...spec, embeddings: { ...spec.embeddings, addedRows } };
  },
  prefixes: ['ernie.'],
  weights: { ...bertWeights, 'embeddings.task_type_embeddings.weight': 'embeddings.added' },
  ignored: [...bertBuffers, 'embeddings.task_type_ids'],
};
