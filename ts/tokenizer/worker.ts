// The thread that owns one tokenizer.json. Parsing 17 MB of it takes over a second and ids come out of the
// binding one JavaScript number at a time, so both happen here; the main thread sees typed arrays.
import { parentPort, workerData } from 'node:worker_threads';
import { Tokenizer, lowercase, sequenceNormalizer, type Encoding } from 'tokenizers';
import type {
  EncodeRequest,
  EncodedReply,
  PrefixLengthRequest,
  TokenizerReply,
  TokenizerRequest,
  TokenizerSetup,
  TooLong,
} from './protocol';

const port = parentPort!;
const setup = workerData as TokenizerSetup;

function load(): Tokenizer {
  const tokenizer = Tokenizer.fromFile(setup.file);
  tokenizer.disablePadding();
  tokenizer.disableTruncation();
  if (setup.lowerCase) {
    const own = tokenizer.getNormalizer();
    tokenizer.setNormalizer(own ? sequenceNormalizer([lowercase(), own]) : lowercase());
  }
  return tokenizer;
}

function setTruncation(tokenizer: Tokenizer, limit: number | undefined): void {
  if (limit === undefined) tokenizer.disableTruncation();
  else
    tokenizer.setTruncation(limit, {
      strategy: 'LongestFirst' as never,
      direction: setup.truncationSide,
      stride: 0,
    });
}

/** Copies the ids of `encodings` into one array. */
function concatenate(encodings: Encoding[]): Omit<EncodedReply, 'kind' | 'id'> {
  const lengths = Int32Array.from(encodings, (encoding) => encoding.getLength());
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const ids = new Int32Array(total);
  const tokenTypes = new Int32Array(total);
  let offset = 0;
  let anyType = false;
  for (const encoding of encodings) {
    const types = encoding.getTypeIds();
    ids.set(encoding.getIds(), offset);
    tokenTypes.set(types, offset);
    anyType ||= types.some((type) => type !== 0);
    offset += types.length;
  }
  return { ids, lengths, tokenTypes: anyType ? tokenTypes : undefined };
}

class TooLongError extends Error {
  constructor(readonly where: TooLong) {
    super(`Text ${where.index} has ${where.tokens} tokens; the limit is ${where.limit}.`);
  }
}

async function encode(tokenizer: Tokenizer, request: EncodeRequest): Promise<EncodedReply> {
  const { prefix, pairs, limit } = request;
  const options = { addSpecialTokens: request.specialTokens };
  const texts = prefix ? request.texts.map((text) => prefix + text) : request.texts;
  setTruncation(tokenizer, request.truncate ? limit : undefined);
  // encodeBatch takes no pairs in this binding.
  const encodings = pairs
    ? await Promise.all(texts.map((text, i) => tokenizer.encode(text, pairs[i]!, options)))
    : await tokenizer.encodeBatch(texts, options);
  const index = request.truncate ? -1 : encodings.findIndex((encoding) => encoding.getLength() > limit);
  if (index >= 0) throw new TooLongError({ index, tokens: encodings[index]!.getLength(), limit });
  return { kind: 'encoded', id: request.id, ...concatenate(encodings) };
}

/** As sentence-transformers counts it: the prompt's own sequence less a last special token. */
async function prefixLength(tokenizer: Tokenizer, request: PrefixLengthRequest): Promise<number> {
  setTruncation(tokenizer, request.limit);
  const encoding = await tokenizer.encode(request.prefix);
  return encoding.getLength() - (encoding.getSpecialTokensMask().at(-1) ?? 0);
}

async function reply(tokenizer: Tokenizer, request: TokenizerRequest): Promise<TokenizerReply> {
  try {
    return request.kind === 'encode'
      ? await encode(tokenizer, request)
      : { kind: 'prefixLength', id: request.id, tokens: await prefixLength(tokenizer, request) };
  } catch (error) {
    const failure = { kind: 'failed', id: request.id, message: (error as Error).message } as const;
    return error instanceof TooLongError
      ? { ...failure, code: 'E_TOO_LONG', tooLong: error.where }
      : { ...failure, code: 'E_BAD_TOKENIZER' };
  }
}

function send(message: TokenizerReply): void {
  const arrays = message.kind === 'encoded' ? [message.ids, message.lengths, message.tokenTypes] : [];
  port.postMessage(
    message,
    arrays.flatMap((array) => (array ? [array.buffer as ArrayBuffer] : [])),
  );
}

async function main(): Promise<void> {
  const tokenizer = load();
  const empty = await tokenizer.encode('');
  const padId = setup.padToken === undefined ? undefined : (tokenizer.tokenToId(setup.padToken) ?? undefined);
  send({ kind: 'ready', vocabSize: tokenizer.getVocabSize(true), padId, specialTokens: empty.getLength() });
  // Truncation is a setting of the tokenizer, so requests take turns; a batch runs on all cores by itself.
  let turn = Promise.resolve();
  port.on('message', (request: TokenizerRequest) => {
    turn = turn.then(async () => send(await reply(tokenizer, request)));
  });
}

main().catch((error: Error) => {
  send({ kind: 'failed', id: undefined, code: 'E_BAD_TOKENIZER', message: error.message });
});
