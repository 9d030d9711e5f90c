import type { Activation } from '../spec';

/** What a head is for, after the class in `architectures`. */
export type HeadTask =
  'sequence-classification' | 'token-classification' | 'question-answering' | 'masked-lm' | 'causal-lm';

/** A layer of a head; `weights` is the prefix of its tensors under padless's names. */
export type TaskHeadStep =
  | {
      kind: 'dense';
      weights: string;
      inFeatures: number;
      outFeatures: number;
      activation: Activation;
      /** The outputs that are computed, of `storedFeatures`; all where absent. */
      rows?: Int32Array;
      storedFeatures?: number;
    }
  | { kind: 'norm'; weights: string; inFeatures: number; outFeatures: number; eps: number }
  /** L2, of what the layers before give. */
  | { kind: 'normalize'; inFeatures: number; outFeatures: number };

/** The task head of a checkpoint as data: what `logits` is. The native counterpart is lib/encoder/logits_spec.h. */
export interface TaskHead {
  task: HeadTask;
  /** Whether `logits` are [T, width], or [B, width]. */
  perToken: boolean;
  /** Columns of the logits: labels, 2 for question answering (start, end), or the vocabulary. */
  width: number;
  /** What a row is computed from: each token, or one vector of each sequence. */
  from: 'tokens' | 'cls' | 'mean' | 'lasttoken';
  /** Trailing tokens of this id are not the last token. */
  skipId?: number;
  /** The logits of a sequence are the mean of those of its tokens. */
  mean: boolean;
  steps: readonly TaskHeadStep[];
  /** Names of the columns, for the two kinds of classification. */
  labels?: readonly string[];
  /** `problem_type` of config.json. */
  problemType?: ProblemType;
}

export const PROBLEM_TYPES: readonly ProblemType[] = [
  'regression',
  'single_label_classification',
  'multi_label_classification',
];

export type ProblemType = 'regression' | 'single_label_classification' | 'multi_label_classification';
