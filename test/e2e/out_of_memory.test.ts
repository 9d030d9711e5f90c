// A process with a limit of its address space: what does not fit is refused, and what fits runs as before.
import { spawnSync } from 'node:child_process';

import { runProgram } from '../support/child';
import { readGolden } from '../support/goldens';
import { testIf } from '../support/skips';

const canLimit = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0;
const limited = testIf(canLimit, 'a limit of memory; there is no prlimit');

/** Bytes that the process may take beyond those it has. V8 wants some for its own. */
const ROOM = 400e6;

limited('runs and a tensor beyond the limit are E_OUT_OF_MEMORY, and the model is of use', async () => {
  const { code, signal, output } = await runProgram(`
    const { Encoder, PackedBatch, Tensor } = padless;
    const { execFileSync } = require('node:child_process');
    const { readFileSync } = require('node:fs');
    const limit = () => {
      const kilobytes = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (kilobytes * 1024 + ${ROOM})]);
    };
    const batch = (sequences, length) => {
      const ids = new Int32Array(sequences * length).fill(5);
      const cuSeqlens = Int32Array.from({ length: sequences + 1 }, (_, i) => i * length);
      return PackedBatch.fromIds({ ids, cuSeqlens });
    };
    (async () => {
      const encoder = await Encoder.load(${JSON.stringify(readGolden('bert').checkpoint)}, { threads: 2 });
      const outputs = ['lastHiddenState'];
      const small = batch(40, 9);
      const before = await encoder.run(small, { outputs });
      const large = batch(12000, 500);
      limit();
      const refused = [];
      const attempt = async (work) => {
        try {
          await work();
          refused.push('nothing');
        } catch (error) {
          refused.push([error.code, error.message].join(' '));
        }
      };
      await attempt(() => encoder.run(large, { outputs }));
      await attempt(() => encoder.run(large, { outputs: ['poolerOutput'] }));
      await attempt(async () => Tensor.zeros([${ROOM}]).read());
      const after = await encoder.run(small, { outputs });
      const same = Buffer.compare(Buffer.from(before.lastHiddenState.buffer), Buffer.from(after.lastHiddenState.buffer));
      console.log(JSON.stringify({ refused, same }));
    })();`);
  expect({ code, signal, output }).toEqual({
    code: 0,
    signal: null,
    output: expect.stringContaining('refused'),
  });
  const { refused, same } = JSON.parse(output) as { refused: string[]; same: number };
  expect(refused).toEqual([
    expect.stringMatching(/^E_OUT_OF_MEMORY .*pass fewer tokens/),
    expect.stringMatching(
      /^E_OUT_OF_MEMORY no memory left to run 6000000 tokens of 12000 sequences .*pass fewer/,
    ),
    expect.stringMatching(/^E_OUT_OF_MEMORY /),
  ]);
  expect(same).toBe(0);
});
