import type { TokenBatch } from '../batching/batches';
import type { PassOptions } from '../batching/shared_passes';
import { loadOptions, type LoadOptions } from '../encoder';
import { PadlessError, throwIfAborted } from '../errors';
import { describeModel, type ModelDescription } from '../models/description';
import type { HeadTask, TaskHead } from '../models/heads/task_head';
import { boolean, checkOptions } from '../options';
import { Task, loadModel, queueOptions, type LogitColumns, type Model, type QueueOptions } from './task';

/** Options of the `load` of tasks on a head. */
export interface HeadLoadOptions extends LoadOptions, QueueOptions {
  /** Default of the calls' `truncate`. */
  truncate?: boolean;
}

/** A model with the head that a task is made for. */
export interface HeadModel extends Model {
  head: TaskHead;
  description: ModelDescription;
  truncate: boolean;
}

/** The head of a directory, if it is of one of these tasks; E_UNSUPPORTED naming `architectures` otherwise. */
export function requireHead(
  { head, config }: ModelDescription,
  task: string,
  wanted: readonly HeadTask[],
): TaskHead {
  if (head instanceof PadlessError) throw head;
  if (head && wanted.includes(head.head.task)) return head.head;
  const given = JSON.stringify(config['architectures'] ?? null);
  throw new PadlessError(
    'E_UNSUPPORTED',
    `A ${task} needs a checkpoint with a head for ${wanted.join(' or ')}, but "architectures" in config.json is ${given}.`,
    { field: 'architectures' },
  );
}

/**
 * Loads a directory with a head of one of the tasks `wanted`, and gives it to `make`; `name` is that of the class,
 * for messages. `columnsOf` may choose columns of the logits. What was loaded is freed if `make` throws.
 */
export async function loadHeadTask<T>(
  name: string,
  path: string,
  options: HeadLoadOptions | undefined,
  wanted: readonly HeadTask[],
  make: (model: HeadModel) => T | Promise<T>,
  columnsOf?: (description: ModelDescription, head: TaskHead) => LogitColumns | undefined,
): Promise<T> {
  const {
    truncate = true,
    joinCalls,
    maxWaitingTokens,
    ...load
  } = checkOptions(`${name}.load`, options, {
    ...loadOptions,
    truncate: boolean,
    ...queueOptions,
  });
  throwIfAborted(load.signal);
  const description = await describeModel(path);
  const head = requireHead(description, name, wanted);
  const model = await loadModel(description, load as LoadOptions, columnsOf?.(description, head));
  try {
    return await make({
      ...model,
      joinCalls,
      maxWaitingTokens,
      head: model.encoder.head!,
      description,
      truncate,
    });
  } catch (error) {
    model.encoder.dispose();
    await model.tokenizer.dispose();
    throw error;
  }
}

/** A task on the logits of a head. */
export abstract class LogitsTask extends Task {
  protected readonly head: TaskHead;
  protected readonly truncate: boolean;

  /** @internal */
  protected constructor(model: HeadModel) {
    super(model);
    this.head = model.head;
    this.truncate = model.truncate;
  }

  /** The logits of a batch, those of `rows` where given. */
  protected async logits(
    batch: TokenBatch,
    pass: PassOptions,
    logitRows?: Int32Array,
  ): Promise<Float32Array> {
    const all = this.head.perToken ? batch.ids.length : batch.cuSeqlens.length - 1;
    const request = { rows: { logits: logitRows?.length ?? all }, logitRows };
    const { logits } = await this.passes.run(batch, request, pass);
    return logits!;
  }
}
