import { devices, type DeviceInfo } from '../device';
import { describeModel, type ModelDescription } from '../models/description';
import { headFacts } from '../models/heads/describe';
import { specFacts } from '../models/describe';
import { table } from './table';

interface InspectFlags {
  json?: boolean;
}

/** `padless inspect`: what this machine can compute on; with a directory, what its model is. */
export async function inspect(path: string | undefined, flags: InspectFlags): Promise<void> {
  const machine = devices();
  const model = path === undefined ? undefined : facts(await describeModel(path));
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ devices: machine, ...(model && { model }) }, null, 2)}\n`);
    return;
  }
  process.stdout.write(table([['device', 'use', 'chip'], ...machine.map(deviceRow)]));
  if (model)
    process.stdout.write(`\n${table(Object.entries(model).map(([key, value]) => [key, words(value)]))}`);
}

/** What a device offers, or why it cannot be used. */
function deviceRow({ name, available, reason, description, isa, threads }: DeviceInfo): string[] {
  const offers = [isa, threads !== undefined && `${threads} threads`].filter(Boolean).join(', ');
  return [name, available ? offers : `unavailable: ${reason}`, description ?? ''];
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
