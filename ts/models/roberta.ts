import { bertBuffers, bertSpec, bertWeights } from './bert';
import type { Reader } from './reader';
import type { EncoderSpec, Family } from './spec';

/** Positions counted from the row after `padId`; a token of that id takes its row and is not counted. */
export function positionsAfterPad(field: Reader, padId: number): EncoderSpec['positions'] {
  const rows = field.integer('max_position_embeddings', { min: 1 });
  if (padId + 1 >= rows) {
    throw field.error(
      'max_position_embeddings',
      `${rows} leaves no position after that of "pad_token_id" ${padId}`,
    );
  }
  return { rows, offset: padId + 1, padId };
}

/** RoBERTa (arXiv:1907.11692), XLM-RoBERTa and CamemBERT: BERT with positions counted from pad_token_id + 1. */
export const roberta: Family = {
  modelTypes: ['roberta', 'xlm-roberta', 'camembert'],
  spec: (field) => ({
    ...bertSpec(field),
    positions: positionsAfterPad(field, field.integer('pad_token_id', { min: 0 }, 1)),
  }),
  prefixes: ['roberta.'],
  weights: bertWeights,
  ignored: bertBuffers,
};
