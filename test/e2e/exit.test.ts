// A process ends by itself, whatever it has started, and keeps its promises before it does.
import { runProgram } from '../support/child';

/** Queues some hundred milliseconds of products. */
const busy = `
  const { Tensor, linear, device } = padless;
  function busy(stream = device('cpu').defaultStream) {
    const a = Tensor.from(new Float32Array(600 * 600).fill(1 / 600), [600, 600], { stream });
    let x = a;
    for (let i = 0; i < 60; i++) x = linear(x, a, { stream });
    return x;
  }`;

test.each([
  ['nothing but loading', '', ''],
  [
    'a stream that is never disposed',
    `device('cpu').createStream(); device('cpu').defaultStream.record();`,
    '',
  ],
  ['work that nobody waits for', `busy();`, ''],
  ['a promise that nobody awaits', `busy().read().then((y) => console.log(y.length));`, '360000'],
  [
    'a promise alone keeps it alive',
    `busy().stream.synchronize().then(() => console.log('synchronized'));`,
    'synchronized',
  ],
  [
    'process.exit() in the middle of work',
    `busy().read(); setTimeout(() => { console.log('bye'); process.exit(0); }, 20);`,
    'bye',
  ],
  [
    'two streams that wait for each other',
    `const other = device('cpu').createStream(); linear(busy(), busy(other), { stream: other });`,
    '',
  ],
])('%s', async (_, source, output) => {
  expect(await runProgram(busy + source)).toEqual({ code: 0, signal: null, output: output && `${output}\n` });
});

test('an uncaught error in the middle of work ends it with code 1', async () => {
  const { code, signal, output } = await runProgram(
    `${busy} busy().read(); setTimeout(() => { throw new Error('stop'); }, 20);`,
  );
  expect({ code, signal }).toEqual({ code: 1, signal: null });
  expect(output).toContain('Error: stop');
});
