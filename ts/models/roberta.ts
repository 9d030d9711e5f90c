import { PadlessError } from '../errors';
import { bertBuffers, bertSpec, bertWeights } from './bert';
import type { Family } from './spec';

/** RoBERTa (arXiv:1907.11692), XLM-RoBERTa and CamemBERT: BERT with positions counted from pad_token_id + 1. */
export const roberta: Family = {
  modelTypes: ['roberta', 'xlm-roberta', 'camembert'],
  spec: (field) => {
    const rows = field.integer('max_position_embeddings', { min: 1 });
    const padId = field.integer('pad_token_id', { min: 0 }, 1);
    if (padId + 1 >= rows) {
      throw new PadlessError(
        'E_BAD_CONFIG',
        `config.json: "pad_token_id" ${padId} leaves no position in "max_position_embeddings" ${rows}.`,
        { field: 'pad_token_id' },
      );
    }
    return { ...bertSpec(field), positions: { rows, offset: padId + 1, padId } };
  },
  prefixes: ['roberta.'],
  weights: bertWeights,
  ignored: bertBuffers,
};
