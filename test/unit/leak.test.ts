// 200 rounds of making, running and dropping everything must not grow the process. Of three times 200 the median
// counts: buffers that the collector frees late make one of them grow and the next shrink.
import { runProgram } from '../support/child';

const round = `
  const { Tensor, LinearWeight, PackedBatch, linear, attention, pool, device } = padless;
  const cpu = device('cpu');
  const settle = async () => {
    for (let i = 0; i < 3; i++) { global.gc(); await new Promise((done) => setImmediate(done)); }
  };
  async function round(dispose) {
    const stream = cpu.createStream();
    const event = stream.record();
    const weight = Tensor.from(new Float32Array(256 * 256).fill(0.01), [256, 256], { stream });
    const x = Tensor.from(new Float32Array(300 * 256).fill(0.5), [300, 256], { stream });
    const packed = LinearWeight.pack(weight, { stream });
    const y = linear(x, packed, { stream });
    const batch = PackedBatch.fromSequences([Array(100).fill(1), Array(200).fill(2)]);
    const { out, lse } = attention(y, y, y, batch, { heads: 4, lse: true, stream });
    const pooled = pool(out, batch, { stream });
    const view = out.reshape([300 * 256]);
    const half = Tensor.zeros([2, 8], { dtype: 'f16', stream });
    const failed = linear(half, half, { stream });
    await Promise.all([pooled.read(), lse.read(), failed.read().catch(() => {})]);
    await stream.synchronize().catch(() => {});
    if (dispose) for (const each of [weight, x, packed, y, out, lse, pooled, view, half, failed, event, stream]) each.dispose();
  }`;

const measure = (dispose: boolean) => `${round}
  (async () => {
    for (let i = 0; i < 100; i++) { await round(${dispose}); ${dispose ? '' : 'await settle();'} }
    await settle();
    const grown = [];
    for (let window = 0; window < 3; window++) {
      const before = process.memoryUsage().rss;
      for (let i = 0; i < 200; i++) { await round(${dispose}); ${dispose ? '' : 'await settle();'} }
      await settle();
      await new Promise((done) => setTimeout(done, 100));
      await settle();
      grown.push((process.memoryUsage().rss - before) / 2 ** 20);
    }
    const { tensors, tensorBytes } = cpu.memoryInfo();
    const median = grown.sort((a, b) => a - b)[1];
    console.log(JSON.stringify({ grown: median, tensors, tensorBytes }));
  })();`;

// Every thread of glibc's malloc has an arena that fills up at its own time; with one there is less noise.
const oneArena = { MALLOC_ARENA_MAX: '1' };
// One of the larger tensors is 0.3 MiB: losing it in each of 200 rounds would show as 60 MiB.
const allowance = 24;

test.each([
  ['disposed', true],
  ['left to the garbage collector', false],
])(
  '200 rounds, %s',
  async (_, dispose) => {
    const { code, output } = await runProgram(measure(dispose), ['--expose-gc'], 110_000, oneArena);
    expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^\{.*\}\n$/) });
    const { grown, tensors, tensorBytes } = JSON.parse(output) as Record<string, number>;
    expect({ tensors, tensorBytes }).toEqual({ tensors: 0, tensorBytes: 0 });
    expect(grown).toBeLessThan(allowance);
  },
  120_000,
);
