// The addon in worker_threads: it loads, computes what the main thread computes, and goes with its worker.
import { runProgram, prelude } from '../support/child';

/** A program that starts `count` workers on `source` and passes them to `then`. */
const workers = (count: number, source: string, then: string) => `
  const { Worker } = require('node:worker_threads');
  const source = ${JSON.stringify(`const { parentPort } = require('node:worker_threads');\n${prelude}${source}`)};
  const workers = Array.from({ length: ${count} }, () => new Worker(source, { eval: true }));
  (async () => { ${then} })();`;

const compute = `
  async function compute(seed) {
    const { Tensor, PackedBatch, attention, linear, device } = padless;
    using stream = device('cpu').createStream();
    const data = Float32Array.from({ length: 40 * 64 }, (_, i) => Math.sin(i * seed));
    using x = Tensor.from(data, [40, 2, 32], { stream });
    const batch = PackedBatch.fromSequences([Array(33).fill(1), [], Array(7).fill(2)]);
    using y = attention(x, x, x, batch, { stream });
    return [...(await y.read())];
  }`.replace(/using /g, 'const ');

test('four workers at once get the bits of the main thread, and exit by themselves', async () => {
  const source = workers(
    4,
    `${compute} compute(0.7).then((y) => parentPort.postMessage(y));`,
    `${compute}
    const expected = JSON.stringify(await compute(0.7));
    const results = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
      let result;
      worker.on('message', (message) => (result = JSON.stringify(message)));
      worker.on('error', reject);
      worker.on('exit', (code) => resolve(code === 0 && result === expected));
    })));
    console.log(results.join());`,
  );
  expect(await runProgram(source)).toEqual({ code: 0, signal: null, output: 'true,true,true,true\n' });
});

test('terminating workers in the middle of work neither crashes nor hangs', async () => {
  const source = workers(
    3,
    `
    const { Tensor, linear } = padless;
    const a = Tensor.from(new Float32Array(600 * 600), [600, 600]);
    for (let i = 0; i < 500; i++) linear(a, a).read();
    parentPort.postMessage('started');`,
    `
    await Promise.all(workers.map((worker, i) => new Promise((resolve) => {
      worker.on('message', () => setTimeout(() => worker.terminate().then(resolve), 10 * i));
    })));
    const { Tensor, l2Normalize } = padless;
    console.log(String(await l2Normalize(Tensor.from([3, 4])).read()));`,
  );
  const { code, signal, output } = await runProgram(source);
  expect({ code, signal, output }).toEqual({
    code: 0,
    signal: null,
    output: '0.6000000238418579,0.800000011920929\n',
  });
});

test('workers come and go without growth', async () => {
  const source = `
    const { Worker } = require('node:worker_threads');
    const source = ${JSON.stringify(`${prelude}padless.Tensor.zeros([100000]).read();`)};
    const round = () => new Promise((resolve) => new Worker(source, { eval: true }).on('exit', resolve));
    (async () => {
      for (let i = 0; i < 12; i++) await round();
      console.log(padless.device('cpu').memoryInfo().allocated);
    })();`;
  expect(await runProgram(source)).toEqual({ code: 0, signal: null, output: '0\n' });
});
