// One sequence of 8192 tokens beside 63 of 16, and alone: memory follows the tokens, in every kind of attention and position.
import { join } from 'node:path';

import { runProgram } from '../support/child';
import { readGolden } from '../support/goldens';
import { withLongerTable } from '../support/longer';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();

/** Of hidden size 32: padded, one activation alone has 64 MiB, and the scores of one head 256 MiB. */
const LIMIT_MIB = 40;

test.each([
  ['modernbert', 'full and windowed'],
  ['nomic-bert', 'rope'],
  ['qwen3-window-bias', 'causal, shared keys'],
  ['gemma3-bidirectional', 'two ropes, sandwich norms'],
  ['rope-dynamic', 'frequencies by length'],
  ['jina-bert', 'ALiBi'],
  ['deberta', 'disentangled'],
  ['deberta-v3', 'disentangled, buckets'],
  ['deberta-v2-conv', 'a convolution'],
  ['mpnet', 'relative buckets'],
  ['t5', 'relative buckets without positions'],
  ['albert', 'a table of positions'],
])('%s (%s): the peak grows by less than a padded matrix', async (name) => {
  const checkpoint = join(scratch, name);
  withLongerTable(readGolden(name).checkpoint, checkpoint, 8192);
  const { code, output } = await runProgram(`
    const { Encoder, PackedBatch } = padless;
    const ids = (length, i) => Array.from({ length }, (_, t) => 5 + ((t * 7 + i) % 50));
    const batch = (longest) => PackedBatch.fromSequences(Array.from({ length: 64 }, (_, i) => ids(i === 31 ? longest : 16, i)));
    (async () => {
      const encoder = await Encoder.load(${JSON.stringify(checkpoint)}, { threads: 2 });
      await encoder.run(batch(16), { outputs: ['lastHiddenState'] });
      const long = batch(8192);
      const before = process.resourceUsage().maxRSS;
      const { lastHiddenState } = await encoder.run(long, { outputs: ['lastHiddenState'] });
      const grown = (process.resourceUsage().maxRSS - before) / 1024;
      await encoder.run(PackedBatch.fromSequences([ids(8192, 0)]), { outputs: ['lastHiddenState'] });
      const alone = (process.resourceUsage().maxRSS - before) / 1024;
      console.log(JSON.stringify({ finite: lastHiddenState.every(Number.isFinite), grown, alone }));
    })();`);
  expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining('"finite":true') });
  const { grown, alone } = JSON.parse(output) as { grown: number; alone: number };
  expect(grown).toBeLessThan(LIMIT_MIB);
  expect(alone).toBeLessThan(LIMIT_MIB);
});
