import { PadlessError } from '../../errors';
import type { TensorLocation } from '../families';
import { readLabels } from '../labels';
import type { Reader } from '../reader';
import type { EncoderSpec } from '../spec';
import { layouts, type Layout, type LayoutStep } from './layouts';
import { PROBLEM_TYPES, type HeadTask, type TaskHead, type TaskHeadStep } from './task_head';

/** A head, and where its tensors are under padless's names. */
export interface HeadDescription {
  head: TaskHead;
  tensors: Map<string, TensorLocation>;
}

/** What a head is looked for in. */
export interface Checkpoint {
  config: Reader;
  spec: EncoderSpec;
  /** The encoder's tensors under padless's names. */
  encoder: ReadonlyMap<string, TensorLocation>;
  /** Every name of the weight files, with its file. */
  files: ReadonlyMap<string, string>;
}

const TASKS: Readonly<Record<string, HeadTask>> = {
  SequenceClassification: 'sequence-classification',
  TokenClassification: 'token-classification',
  QuestionAnswering: 'question-answering',
  MaskedLM: 'masked-lm',
  CausalLM: 'causal-lm',
};

/** The class of the checkpoint, taken apart; undefined for a bare encoder or where config.json names none. */
function classOf(config: Reader): { family: string; purpose: string; name: string } | undefined {
  const classes = config.raw('architectures');
  const name: unknown = Array.isArray(classes) ? classes[0] : undefined;
  const [, family, purpose] = (typeof name === 'string' && /^(\w+?)For(\w+)$/.exec(name)) || [];
  return family === undefined ? undefined : { family, purpose: purpose!, name: name as string };
}

function unsupported(config: Reader, name: string): PadlessError {
  const known = Object.entries(layouts).flatMap(([family, tasks]) =>
    Object.entries(TASKS).flatMap(([purpose, task]) => (tasks[task] ? [`${family}For${purpose}`] : [])),
  );
  return config.error(
    'architectures',
    `names ${name}, whose head is not supported; supported are ${known.join(', ')}`,
    'E_UNSUPPORTED',
  );
}

class TensorFinder {
  readonly tensors = new Map<string, TensorLocation>();
  readonly #used = new Set<string>();

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly className: string,
  ) {}

  /** The weight (and bias) of a step, as `target.weight`, ... */
  add(step: LayoutStep, target: string, isTied: boolean): void {
    if (step.kind === 'norm') {
      this.#one(`${target}.gamma`, [`${step.name}.weight`, `${step.name}.gamma`]);
      if (step.bias) this.#one(`${target}.beta`, [`${step.name}.bias`, `${step.name}.beta`]);
      return;
    }
    if (step.weight === 'pooler') {
      for (const part of ['weight', 'bias']) this.#encoders(`${target}.${part}`, `pooler.${part}`);
      return;
    }
    const own = `${step.name}.weight`;
    if (step.weight === 'tied' && isTied && !this.checkpoint.files.has(own)) {
      this.#encoders(`${target}.weight`, 'embeddings.word');
    } else {
      this.#one(`${target}.weight`, [own]);
    }
    if (step.bias.length > 0) this.#one(`${target}.bias`, step.bias);
  }

  /** Refuses a tensor among the head's own that no step has used. */
  refuseOthers(roots: readonly string[]): void {
    for (const name of this.checkpoint.files.keys()) {
      if (this.#used.has(name) || !roots.some((root) => name.startsWith(root))) continue;
      throw new PadlessError(
        'E_UNSUPPORTED',
        `The checkpoint has a tensor "${name}" that ${this.className} does not use; what it computes would be lost.`,
        { field: name },
      );
    }
  }

  #one(target: string, names: readonly string[]): void {
    const found = names.filter((name) => this.checkpoint.files.has(name));
    if (found.length === 0) {
      throw new PadlessError(
        'E_BAD_WEIGHTS',
        `The checkpoint has no tensor "${names[0]}", which ${this.className} of config.json needs.`,
        { field: names[0] },
      );
    }
    for (const name of found) this.#used.add(name);
    this.tensors.set(target, { file: this.checkpoint.files.get(found[0]!)!, name: found[0]! });
  }

  #encoders(target: string, name: string): void {
    const location = this.checkpoint.encoder.get(name);
    if (!location) {
      throw new PadlessError(
        'E_BAD_WEIGHTS',
        `The checkpoint has no ${name}, which ${this.className} needs.`,
        {
          field: name,
        },
      );
    }
    this.tensors.set(target, location);
  }
}

function steps(layout: Layout, hiddenSize: number): TaskHeadStep[] {
  let width = hiddenSize;
  return layout.steps.map((step, index) => {
    const common = { weights: `logits.${index}`, inFeatures: width };
    if (step.kind === 'norm') return { kind: 'norm', ...common, outFeatures: width, eps: step.eps };
    width = step.out;
    return { kind: 'dense', ...common, outFeatures: width, activation: step.activation };
  });
}

/**
 * The task head that the first of config.json's `architectures` names; undefined for a bare encoder.
 *
 * @throws PadlessError E_UNSUPPORTED for a head that is not understood, E_BAD_CONFIG for its fields,
 * E_BAD_WEIGHTS for a checkpoint that lacks its tensors. The encoder can still be run then.
 */
export function describeHead(checkpoint: Checkpoint): HeadDescription | undefined {
  const { config, spec } = checkpoint;
  const found = classOf(config);
  if (!found) return undefined;
  const task = Object.hasOwn(TASKS, found.purpose) ? TASKS[found.purpose]! : undefined;
  const makeLayout = task && Object.hasOwn(layouts, found.family) ? layouts[found.family]![task] : undefined;
  if (!task || !makeLayout) throw unsupported(config, found.name);
  const hasLabels = task === 'sequence-classification' || task === 'token-classification';
  const labels = hasLabels ? readLabels(config) : undefined;
  const problemType =
    task === 'sequence-classification' ? config.optionalOneOf('problem_type', PROBLEM_TYPES) : undefined;
  const layout = makeLayout({ field: config, spec, labels: labels?.length ?? 0 });
  const finder = new TensorFinder(checkpoint, found.name);
  const isTied = config.boolean('tie_word_embeddings', true);
  layout.steps.forEach((step, index) => finder.add(step, `logits.${index}`, isTied));
  finder.refuseOthers(layout.roots);
  const mean = layout.mean ?? false;
  const all = steps(layout, spec.hiddenSize);
  return {
    head: {
      task,
      perToken: layout.from === 'tokens' && !mean,
      width: all.at(-1)!.outFeatures,
      from: layout.from,
      ...(layout.skipId !== undefined && { skipId: layout.skipId }),
      mean,
      steps: all,
      ...(labels && { labels }),
      ...(problemType && { problemType }),
    },
    tensors: finder.tensors,
  };
}

/**
 * The same head with only some columns of its logits: no more than these are computed.
 *
 * @throws PadlessError E_INVALID_ARGUMENT for a column that the head lacks.
 */
export function selectColumns(head: TaskHead, columns: readonly number[]): TaskHead {
  const wrong = columns.find((column) => !Number.isInteger(column) || column < 0 || column >= head.width);
  if (wrong !== undefined || columns.length === 0) {
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `The head has the columns 0 to ${head.width - 1}, not ${wrong ?? 'an empty list'}.`,
      { field: 'logits' },
    );
  }
  const { labels, ...rest } = head;
  return {
    ...rest,
    width: columns.length,
    steps: head.steps.map((step, index) =>
      index + 1 < head.steps.length || step.kind !== 'dense'
        ? step
        : {
            ...step,
            rows: Int32Array.from(columns),
            outFeatures: columns.length,
            storedFeatures: step.outFeatures,
          },
    ),
    ...(labels && { labels: columns.map((column) => labels[column]!) }),
  };
}
