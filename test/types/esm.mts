import { Embedder, PadlessError, type Embeddings, type QueueInfo } from 'padless';

const embedder: Embedder = await Embedder.load('model', {
  dtype: 'f32',
  threads: 2,
  maxWaitingTokens: 65_536,
});
const vectors: Embeddings = await embedder.embed(['text'], { normalize: true });
const row: Float32Array = vectors.row(0);
const { calls, waitingCalls, waitingTokens, runningTokens }: QueueInfo = embedder.queueInfo();
const waits: number = calls + waitingCalls + waitingTokens + runningTokens;
// @ts-expect-error a misspelled option is a type error too
await embedder.embed(['text'], { normalise: true });
const code: string = new PadlessError('E_DEVICE', 'text').code;
export { code, row, waits };
