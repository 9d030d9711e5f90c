// Directories of sentence-transformers chains, as files to write.
import type { writeTree } from './scratch';

/** Contents by name, for writeTree. */
export type Files = Parameters<typeof writeTree>[1];

const OLD = 'sentence_transformers.models.';
/** A module of modules.json; a bare class name is one of version 5. */
export const entry = (type: string, path: string) => ({
  idx: 0,
  name: '0',
  path,
  type: type.includes('.') ? type : OLD + type,
});
export const POOLED = [entry('Transformer', ''), entry('Pooling', '1_Pooling')];

/** A chain of a Transformer, a mean Pooling of width 96 and these modules. */
export const chain = (modules: object[], files: Files = {}): Files => ({
  'modules.json': [...POOLED, ...modules],
  '1_Pooling/config.json': { word_embedding_dimension: 96, pooling_mode_mean_tokens: true },
  ...files,
});

/** A chain with one Dense, 96 to 8 features unless `config` says otherwise. */
export const dense = (config: object): Files =>
  chain([entry('Dense', '2_Dense')], {
    '2_Dense/config.json': { in_features: 96, out_features: 8, ...config },
  });
