// The `layers` option: a forward that stops early equals a checkpoint that ends there.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Encoder } from '../../ts/encoder';
import { PackedBatch } from '../../ts/packed';
import { testDevices } from '../support/devices';
import { expectError } from '../support/errors';
import { readGolden } from '../support/goldens';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** A copy of a checkpoint without the tensors of layers from `count` on. */
function truncated(checkpoint: string, count: number): string {
  const folder = join(scratch, `${count}-of-${checkpoint.replace(/\W+/g, '-')}`);
  cpSync(checkpoint, folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>;
  config['num_hidden_layers'] = count;
  const types = config['layer_types'];
  if (Array.isArray(types)) config['layer_types'] = types.slice(0, count);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));

  const file = readFileSync(join(folder, 'model.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, Entry>;
  delete header['__metadata__'];
  const parts: Buffer[] = [];
  let offset = 0;
  const kept: Record<string, Entry> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (Number(/\blayers?\.(\d+)\./.exec(name)?.[1] ?? 0) >= count) continue;
    const bytes = file.subarray(start + entry.data_offsets[0], start + entry.data_offsets[1]);
    kept[name] = { ...entry, data_offsets: [offset, (offset += bytes.length)] };
    parts.push(bytes);
  }
  const json = Buffer.from(JSON.stringify(kept));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, json, ...parts]));
  return folder;
}

describe.each(testDevices())('on $label', ({ request }) => {
  test.each([
    ['bert', 2],
    ['modernbert', 3],
    ['qwen3-window-bias', 1],
    ['gemma3-bidirectional', 2],
    ['deberta-v2-conv', 1],
  ])('%s with layers: %d', async (name, layers) => {
    const golden = readGolden(name);
    const { ids, tokenTypes } = golden.sequences[1]!;
    const batch = PackedBatch.fromSequences([ids], tokenTypes ? { tokenTypes: [tokenTypes] } : {});
    const outputs = ['lastHiddenState', 'sentenceEmbedding'] as const;
    using whole = await Encoder.load(golden.checkpoint, { device: request });
    const stopped = await whole.run(batch, { outputs, layers, pooling: ['mean'] });
    const complete = await whole.run(batch, { outputs, pooling: ['mean'] });
    expect(stopped.lastHiddenState).not.toEqual(complete.lastHiddenState);

    using short = await Encoder.load(truncated(golden.checkpoint, layers), { device: request });
    expect(await short.run(batch, { outputs, pooling: ['mean'] })).toEqual(stopped);
  });

  test('layers beyond the model’s are refused', async () => {
    using encoder = await Encoder.load(readGolden('bert').checkpoint, { device: request });
    const batch = PackedBatch.fromSequences([[2, 3]]);
    for (const layers of [0, 4]) {
      await expectError(() => encoder.run(batch, { outputs: ['lastHiddenState'], layers }), {
        code: 'E_INVALID_ARGUMENT',
        field: 'layers',
      });
    }
  });
});
