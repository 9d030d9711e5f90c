// Memory follows the tokens: no padded batch and no matrix of scores, in any kind of attention and position.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { device, type DeviceOptions } from '../../ts/device';
import { Encoder } from '../../ts/encoder';
import { modelTypes } from '../../ts/models/families';
import { PackedBatch } from '../../ts/packed';
import { testDevices } from '../support/devices';
import { goldenNames, readGolden } from '../support/goldens';
import { withLongerTable } from '../support/longer';
import { scratchDirectory } from '../support/scratch';
import type { Compute } from '../../ts/weight';

const scratch = scratchDirectory();

/** Tokens of a short sequence. */
const SHORT = 16;

/** Fixtures for kinds of attention and position that no family has first. */
const kinds = [
  'deberta-short-range',
  'deberta-v2-absolute',
  'deberta-v2-conv',
  'jina-bert',
  'modernbert',
  'qwen3-window-bias',
  'gemma3-bidirectional',
  'rope-dynamic',
  'rope-longrope',
];

/** The first fixture of each family, and those of the other kinds. */
function fixtures(): string[] {
  const bodies = goldenNames(modelTypes).filter((name) => !readGolden(name).outputs.includes('logits'));
  const typeOf = (name: string) =>
    (JSON.parse(readFileSync(join(readGolden(name).checkpoint, 'config.json'), 'utf8')) as Config).model_type;
  const first = modelTypes.flatMap((type) => bodies.find((name) => typeOf(name) === type) ?? []);
  return [...new Set([...first, ...kinds])];
}

interface Config {
  model_type: string;
}

function batchOf(lengths: readonly number[]): PackedBatch {
  return PackedBatch.fromSequences(
    lengths.map((length, i) => Array.from({ length }, (_, t) => 5 + ((t * 7 + i) % 40))),
  );
}

/** The most bytes in use at one time, beside the weights, while a fresh encoder runs the batch. */
async function peakOf(checkpoint: string, request: DeviceOptions, dtype: Compute, lengths: number[]) {
  const target = device(request);
  const before = target.memoryInfo().allocated;
  using encoder = await Encoder.load(checkpoint, { device: request, dtype, logits: false });
  target.resetPeakMemory();
  const { lastHiddenState } = await encoder.run(batchOf(lengths), { outputs: ['lastHiddenState'] });
  expect(lastHiddenState!.every(Number.isFinite)).toBe(true);
  return target.memoryInfo().peak - before - encoder.weightBytes;
}

// One instruction set is enough for the CPU's memory; the emulator is slow.
const [cpu, ...others] = testDevices();
const found = [cpu!, ...others.filter(({ request }) => request.name !== 'cpu')];

describe.each(found)('on $label', ({ request, reducedPrecisions }) => {
  const [long, shorts] = request.name === 'cpu' ? [8192, 63] : [256, 15];
  describe.each(['f32', reducedPrecisions[0]!] as Compute[])('%s', (dtype) => {
    test.each(fixtures())(
      `%s: memory follows the tokens of one sequence of ${long} and of many`,
      async (name) => {
        const folder = join(scratch, `${name}-${dtype}-${request.name}`);
        withLongerTable(readGolden(name).checkpoint, folder, long);
        const peak = (lengths: number[]) => peakOf(folder, request, dtype, lengths);
        const equal = (tokens: number) => Array<number>(tokens / SHORT).fill(SHORT);
        const one = await peak([long]);
        expect(one).toBeLessThan(2.2 * (await peak([long / 2])));
        expect(await peak(equal(long))).toBeLessThan(1.1 * one);
        const mixed = await peak([...equal(shorts * SHORT), long]);
        expect(mixed).toBeLessThan(1.1 * (1 + (shorts * SHORT) / long) * one);
        expect(mixed).toBeGreaterThan(32 * long);
      },
    );
  });
});
