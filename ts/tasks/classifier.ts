import { sliced } from '../batching/slices';
import type { TaskHead } from '../models/heads/task_head';
import { abortSignal, boolean, checkOptions, integer, oneOf } from '../options';
import { beyondTheLimit, chunkRows, chunksOption, collectRows, type ChunkOptions } from './chunk_pooling';
import { LogitsTask, loadHeadTask, type HeadLoadOptions, type HeadModel } from './head_task';
import { SCORE_ACTIVATIONS, activate, largest, type ScoreActivation } from './scores';
import { checkTextsOrPairs, type TextPair } from './text_pairs';

/** Options of {@link Classifier.classify}. */
export interface ClassifyOptions {
  /** Labels given for each text, the best ones; all by default. */
  topK?: number;
  /** Instead of what the checkpoint says, see {@link Classifier.activation}. */
  activation?: ScoreActivation;
  /** Most tokens of one forward pass. */
  batchTokens?: number;
  /** Cut texts to the model's limit (the default), pairs from the end of the longer; otherwise E_TOO_LONG. */
  truncate?: boolean;
  /**
   * Neither: read a text beyond the limit, of a pair the second, in chunks and pool their logits. `true` for the
   * defaults of {@link ChunkOptions}.
   */
  chunks?: boolean | ChunkOptions;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const classifyOptions = {
  topK: integer(1),
  activation: oneOf(SCORE_ACTIVATIONS),
  batchTokens: integer(1),
  truncate: boolean,
  chunks: chunksOption('mean'),
  signal: abortSignal,
};

/** A label and how well it fits. */
export interface LabelScore {
  label: string;
  score: number;
}

/** As transformers' text-classification pipeline chooses it. */
function activationOf({ problemType, width }: TaskHead): ScoreActivation {
  if (problemType === 'regression') return 'none';
  return problemType === 'multi_label_classification' || width === 1 ? 'sigmoid' : 'softmax';
}

/**
 * Classifies texts or pairs of texts by a checkpoint `...ForSequenceClassification`: sentiment, topics, natural
 * language inference.
 *
 * @example
 * ```ts
 * await using classifier = await Classifier.load('./sentiment');
 * const [labels] = await classifier.classify('What a day', { topK: 1 });
 * labels[0];   // { label: 'POSITIVE', score: 0.99 }
 * ```
 */
export class Classifier extends LogitsTask {
  private constructor(model: HeadModel) {
    super(model);
  }

  /**
   * Loads a Hugging Face directory: config.json, safetensors, tokenizer.json.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG (`id2label` with holes), E_BAD_WEIGHTS, E_BAD_TOKENIZER,
   * E_UNSUPPORTED (no such head), E_DEVICE, E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options?: HeadLoadOptions): Promise<Classifier> {
    const wanted = ['sequence-classification'] as const;
    return loadHeadTask('Classifier', path, options, wanted, (model) => new Classifier(model));
  }

  /** The labels by their numbers. */
  get labels(): readonly string[] {
    return this.head.labels!;
  }

  /**
   * What makes scores of logits: none for `problem_type` regression, sigmoid for multi_label_classification and
   * for a single label, softmax otherwise.
   */
  get activation(): ScoreActivation {
    return activationOf(this.head);
  }

  /**
   * The labels of each text with their scores, the best first, in the order of the texts; a single string or
   * pair gives one list.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no text, pair or option, E_TOO_LONG with
   * `truncate: false`, E_ABORTED, E_DISPOSED.
   */
  async classify(
    input: string | TextPair | readonly string[] | readonly TextPair[],
    options?: ClassifyOptions,
  ): Promise<LabelScore[][]> {
    const checked = checkOptions('classify', options, classifyOptions);
    const { topK = Infinity, activation = this.activation } = checked;
    const long = beyondTheLimit(checked, this.truncate);
    const { texts, pairs } = checkTextsOrPairs(input);
    const collected = collectRows(texts.length, checked.chunks);
    await this.whileOpen(checked.signal, (call) =>
      this.forward(
        texts,
        { pairs, ...long },
        {
          batchTokens: checked.batchTokens,
          start: async (batch, pass) => chunkRows(batch, await this.logits(batch, pass)),
          finish: (rows) => collected.append(rows),
        },
        call,
      ),
    );
    const results: LabelScore[][] = [];
    const read = function* (this: Classifier): Generator<void> {
      for (const logits of collected.embeddings()) {
        const scores = activate(logits, activation);
        const best = largest(scores, topK);
        results.push(best.map((id) => ({ label: this.labels[id]!, score: scores[id]! })));
        yield;
      }
    }.bind(this);
    await sliced(read());
    return results;
  }
}
