import { devices, type DeviceInfo } from '../device';
import { describeModel, type ModelDescription } from '../models/description';
import { ModelDirectory } from '../models/directory';
import { headFacts } from '../models/heads/describe';
import { specFacts } from '../models/describe';
import { describeLateInteraction, isOriginalColbert } from '../models/late_interaction';
import { readModules, taskOf } from '../models/modules';
import { describeSparse } from '../models/sparse';
import { PadlessError } from '../errors';
import { precisionCosts, type PrecisionCost } from './quantization';
import { table } from './table';

interface InspectFlags {
  quantization?: string[];
  cacheDir?: string;
  json?: boolean;
}

/**
 * `padless inspect`: what this machine can compute on; with a directory, what its model is, and with texts what
 * bf16, int8 and fp8 cost on them.
 */
export async function inspect(
  path: string | undefined,
  flags: InspectFlags,
  signal: AbortSignal,
): Promise<void> {
  if (flags.quantization && path === undefined) {
    throw new PadlessError('E_INVALID_ARGUMENT', '--quantization needs a model directory before it.', {
      field: 'quantization',
    });
  }
  if (flags.cacheDir !== undefined && !flags.quantization) {
    throw new PadlessError('E_INVALID_ARGUMENT', '--cache-dir is for --quantization, which loads weights.', {
      field: 'cacheDir',
    });
  }
  const machine = devices();
  const model = path === undefined ? undefined : await describe(path);
  const quantization =
    flags.quantization && path !== undefined
      ? await precisionCosts(path, flags.quantization, flags.cacheDir, signal)
      : undefined;
  if (flags.json) {
    const answer = { devices: machine, ...(model && { model }), ...(quantization && { quantization }) };
    process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    return;
  }
  process.stdout.write(table([['device', 'use', 'chip'], ...machine.map(deviceRow)]));
  if (model)
    process.stdout.write(`\n${table(Object.entries(model).map(([key, value]) => [key, words(value)]))}`);
  if (quantization) process.stdout.write(`\n${costTable(quantization)}`);
}

/** What each precision costs against f32. */
function costTable(costs: readonly PrecisionCost[]): string {
  return table([
    ['against f32', 'relative error', 'worst text', 'least cosine', 'weights'],
    ...costs.map(({ dtype, device, relativeError, worstText, leastCosine, weightBytes, weightBytesF32 }) => [
      device === 'cpu' ? dtype : `${dtype}, ${device}`,
      relativeError.toExponential(1),
      `${worstText.relativeError.toExponential(1)} (text ${worstText.index + 1})`,
      leastCosine.toFixed(6),
      `${((100 * weightBytes) / weightBytesF32).toFixed(0)}%`,
    ]),
  ]);
}

/** What a device offers, or why it cannot be used. */
function deviceRow({ name, available, reason, description, isa, threads }: DeviceInfo): string[] {
  const offers = [isa, threads !== undefined && `${threads} threads`].filter(Boolean).join(', ');
  return [name, available ? offers : `unavailable: ${reason}`, description ?? ''];
}

/** What the directory's task would run. */
async function describe(path: string): Promise<Record<string, unknown>> {
  const directory = await ModelDirectory.open(path);
  const modules = await readModules(directory);
  const task = modules && taskOf(modules);
  if (task === 'SparseEncoder') {
    const { description, weights, queries } = await describeSparse(path);
    return {
      ...facts(description),
      task,
      vectors: weights,
      queries: queries ? 'looked up by token' : 'as documents',
    };
  }
  if (task === 'LateInteraction' || (!modules && (await isOriginalColbert(directory)))) {
    const { description, query, document } = await describeLateInteraction(path);
    const { skipped, ...rest } = document;
    return {
      ...facts(description),
      task: 'LateInteraction',
      dimensions: description.projections[0]!.head.width,
      query,
      document: { ...rest, skippedTokens: skipped.length },
    };
  }
  return facts(await describeModel(path));
}

/** The description without handles, in plain values. */
function facts({
  directory,
  config,
  spec,
  pipeline,
  tensors,
  head,
}: ModelDescription): Record<string, unknown> {
  return {
    directory: directory.path,
    modelType: config['model_type'],
    architectures: config['architectures'],
    ...specFacts(spec),
    ...headFacts(head),
    tensors: tensors.size,
    pipeline: pipeline ?? null,
  };
}

function words(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
