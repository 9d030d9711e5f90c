import { CallQueue, expectedTokens } from '../../ts/batching/call_queue';
import { SharedPasses } from '../../ts/batching/shared_passes';
import type { EncodeOptions } from '../../ts/tokenizer/tokenizer';

test.each<[string, string[], EncodeOptions, number]>([
  ['none', [], {}, 0],
  ['a quarter of the characters and the special tokens', ['', 'abcd', 'abcde'], {}, 2 + 3 + 4],
  ['prefix and pair', ['abcd'], { prefix: 'abcd', pairs: ['abcd'] }, 2 + 3],
  ['no more than the limit', ['x'.repeat(4000)], {}, 100],
  ['all of a text that is read in windows', ['x'.repeat(400), 'x'.repeat(800)], { stride: 8 }, 102 + 202],
  ['no more than two passes', Array<string>(20).fill('x'.repeat(4000)), {}, 1000],
])('expected tokens: %s', (_, texts, encode, tokens) => {
  expect(expectedTokens(texts, encode, 100, 1000)).toBe(tokens);
});

const idle = () => new SharedPasses(() => new Promise(() => {}), { depth: 2, join: true });
const signalOf = () => new AbortController().signal;

test('a call counts from its entry to its end, by what is expected until it is tokenised', () => {
  const queue = new CallQueue(idle(), Infinity);
  const [one, other] = [signalOf(), signalOf()];
  queue.enter(one, 70);
  queue.enter(other, 30);
  expect(queue.info()).toEqual({ calls: 2, waitingCalls: 2, waitingTokens: 100, runningTokens: 0 });
  queue.tokenized(one);
  queue.tokenized(one);
  expect(queue.info()).toMatchObject({ calls: 2, waitingTokens: 30 });
  queue.leave(other);
  queue.leave(one);
  expect(queue.info()).toEqual({ calls: 0, waitingCalls: 0, waitingTokens: 0, runningTokens: 0 });
});

test('of a call with several lists of texts, those that have not begun are still expected', () => {
  const queue = new CallQueue(idle(), Infinity);
  const call = signalOf();
  queue.enter(call, 100);
  queue.tokenized(call, 70);
  queue.tokenized(call, 70);
  expect(queue.info()).toMatchObject({ calls: 1, waitingTokens: 70 });
  queue.tokenized(call);
  expect(queue.info()).toMatchObject({ calls: 1, waitingTokens: 0 });
});

test('what goes beyond the limit is refused, unless nothing waits', () => {
  const queue = new CallQueue(idle(), 100);
  const first = signalOf();
  queue.enter(first, 1000);
  queue.leave(first);
  queue.enter(signalOf(), 60);
  queue.enter(signalOf(), 40);
  expect(() => queue.enter(signalOf(), 1)).toThrow(
    expect.objectContaining({
      code: 'E_OVERLOADED',
      field: 'maxWaitingTokens',
      message:
        '2 calls with about 100 tokens wait for the model, this one has about 1, and maxWaitingTokens is 100. ' +
        'Try again later, send fewer texts at once, or raise the limit.',
    }),
  );
  expect(queue.info().calls).toBe(2);
});
