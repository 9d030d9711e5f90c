import type { TokenBatch } from '../batching/batches';
import { sliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { abortSignal, boolean, checkOptions, integer } from '../options';
import { bestSpans, characters, type AnswerWindow } from './answer_spans';
import { LogitsTask, loadHeadTask, type HeadLoadOptions, type HeadModel } from './head_task';

/** Options of {@link QuestionAnswerer.answer}. */
export interface AnswerOptions {
  /** Answers given, the best ones; 1 by default. */
  topK?: number;
  /** Most tokens of an answer; 15 by default. */
  maxAnswerTokens?: number;
  /** "No answer" is a candidate too, as an answer `''`: for models trained on SQuAD 2.0. False by default. */
  nullAnswer?: boolean;
  /** Most tokens of question and context together; longer contexts are read in windows. At most 384 by default. */
  windowTokens?: number;
  /** Tokens of the context that a window repeats from the one before; half a window by default, at most 128. */
  stride?: number;
  /** Most tokens of one forward pass. */
  batchTokens?: number;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const answerOptions = {
  topK: integer(1),
  maxAnswerTokens: integer(1),
  nullAnswer: boolean,
  windowTokens: integer(1),
  stride: integer(0),
  batchTokens: integer(1),
  signal: abortSignal,
};

/** A question about a text. */
export interface Question {
  question: string;
  context: string;
}

/** A stretch of the context: `context.slice(start, end)`, in UTF-16 units as JavaScript counts. */
export interface Answer {
  answer: string;
  /**
   * Probability of the start times that of the end, within its window; those of equal answers are added up. Zero
   * for none.
   */
  score: number;
  start: number;
  end: number;
}

const DEFAULT_WINDOW = 384;
const DEFAULT_STRIDE = 128;

/** One question with what has been found so far. */
interface Search {
  answers: Answer[];
  noAnswer: number;
}

function checkQuestions(input: unknown): Question[] {
  const list: unknown[] = Array.isArray(input) ? input : [input];
  const wrong = list.findIndex((value) => {
    const { question, context } = (value ?? {}) as Partial<Question>;
    return typeof value !== 'object' || typeof question !== 'string' || typeof context !== 'string';
  });
  if (wrong < 0) return list as Question[];
  throw new PadlessError(
    'E_INVALID_ARGUMENT',
    `questions[${wrong}] must be { question, context }, two strings.`,
    { field: `questions[${wrong}]` },
  );
}

/**
 * Finds the answer to a question in a text, by a checkpoint `...ForQuestionAnswering`, as transformers'
 * question-answering pipeline did.
 *
 * @example
 * ```ts
 * await using answerer = await QuestionAnswerer.load('./roberta-base-squad2');
 * const [[best]] = await answerer.answer({ question: 'Where?', context: 'She lived in London.' });
 * best;   // { answer: 'London', score: 0.98, start: 13, end: 19 }
 * ```
 */
export class QuestionAnswerer extends LogitsTask {
  private constructor(model: HeadModel) {
    super(model);
  }

  /**
   * Loads a Hugging Face directory: config.json, safetensors, tokenizer.json.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_BAD_TOKENIZER, E_UNSUPPORTED (no such head),
   * E_DEVICE, E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options?: Omit<HeadLoadOptions, 'truncate'>): Promise<QuestionAnswerer> {
    const wanted = ['question-answering'] as const;
    return loadHeadTask('QuestionAnswerer', path, options, wanted, (model) => new QuestionAnswerer(model));
  }

  /**
   * The best answers to each question, the best first, in the order of the questions; a single question gives one
   * list, which is empty for a context without a token. No context is too long: it is read in windows.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no question or option, E_TOO_LONG for a question that
   * leaves no room for the context, E_ABORTED, E_DISPOSED.
   */
  async answer(input: Question | readonly Question[], options?: AnswerOptions): Promise<Answer[][]> {
    const checked = checkOptions('answer', options, answerOptions);
    const { topK = 1, maxAnswerTokens = 15, nullAnswer = false } = checked;
    const questions = checkQuestions(input);
    const windowTokens = checked.windowTokens ?? Math.min(this.maxLength, DEFAULT_WINDOW);
    const stride = checked.stride ?? Math.min(Math.floor(windowTokens / 2), DEFAULT_STRIDE);
    const searches = questions.map((): Search => ({ answers: [], noAnswer: Infinity }));
    // Some spans become equal when they are widened to words.
    const candidates = 2 * topK + 10;
    const read = function* (batch: TokenBatch, logits: Float32Array): Generator<void> {
      for (let i = 0; i + 1 < batch.cuSeqlens.length; i++) {
        const index = batch.texts![i]!;
        collect(searches[index]!, questions[index]!.context, windowOf(batch, i, logits));
        yield;
      }
    };
    const collect = (search: Search, context: string, window: AnswerWindow) => {
      const { spans, noAnswer } = bestSpans(window, candidates, maxAnswerTokens);
      search.noAnswer = Math.min(search.noAnswer, noAnswer);
      for (const span of spans) add(search.answers, context, characters(window, span), span.score);
    };
    await this.whileOpen(checked.signal, (call) =>
      this.forward(
        questions.map(({ question }) => question),
        {
          pairs: questions.map(({ context }) => context),
          details: true,
          maxLength: windowTokens,
          stride,
        },
        {
          batchTokens: checked.batchTokens,
          start: async (batch, pass) => ({ batch, logits: await this.logits(batch, pass) }),
          finish: ({ batch, logits }) => sliced(read(batch, logits)),
        },
        call,
      ),
    );
    return searches.map(({ answers, noAnswer }) => {
      if (nullAnswer && Number.isFinite(noAnswer))
        answers.push({ answer: '', score: noAnswer, start: 0, end: 0 });
      return answers.sort((a, b) => b.score - a.score).slice(0, topK);
    });
  }
}

function windowOf(batch: TokenBatch, sequence: number, logits: Float32Array): AnswerWindow {
  const [begin, end] = [batch.cuSeqlens[sequence]!, batch.cuSeqlens[sequence + 1]!];
  const { offsets, words, segments } = batch.details!;
  return {
    logits: logits.subarray(2 * begin, 2 * end),
    inContext: Array.from(segments.subarray(begin, end), (segment) => segment === 1),
    offsets: offsets.subarray(2 * begin, 2 * end),
    words: words.subarray(begin, end),
  };
}

/** Adds an answer to those found; the same words in another place count for the first. */
function add(answers: Answer[], context: string, [start, end]: [number, number], score: number): void {
  const answer = context.slice(start, end);
  const same = answers.find((other) => other.answer.toLowerCase() === answer.toLowerCase());
  if (same) same.score += score;
  else answers.push({ answer, score, start, end });
}
