// The thread that owns one tokenizer.json. Parsing 17 MB of it takes over a second and ids come out of the
// binding one JavaScript number at a time, so both happen here; the main thread sees typed arrays.
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { Tokenizer, lowercase, sequenceNormalizer, type Encoding } from 'tokenizers';
import { localityOf, readPipeline } from './locality';
import type {
  Cancellation,
  CutTooShortReply,
  DecodeRequest,
  DecodedReply,
  EncodeRequest,
  EncodedReply,
  PrefixLengthRequest,
  TokenizerReady,
  TokenizerReply,
  TokenizerRequest,
  TokenizerSetup,
  TooLong,
  TruncationSide,
} from './protocol';
import { bodyOf, concatenate, segmentsOf, tokenDetails, wholeSequence, type Sequence } from './sequences';
import { cut, windows } from './windows';

const port = parentPort!;
const setup = workerData as TokenizerSetup;

/** Known when tokenizer.json has been read. */
let truncationSide: TruncationSide;

function load(): { tokenizer: Tokenizer; lowersCase: boolean } {
  const tokenizer = Tokenizer.fromFile(setup.file);
  tokenizer.disablePadding();
  tokenizer.disableTruncation();
  const own = tokenizer.getNormalizer();
  if (setup.lowerCase) {
    tokenizer.setNormalizer(own ? sequenceNormalizer([lowercase(), own]) : lowercase());
  }
  return { tokenizer, lowersCase: own?.normalizeString('A') === 'a' };
}

function setTruncation(tokenizer: Tokenizer, limit: number | undefined): void {
  if (limit === undefined) tokenizer.disableTruncation();
  else
    tokenizer.setTruncation(limit, {
      strategy: 'LongestFirst' as never,
      direction: truncationSide,
      stride: 0,
    });
}

/** Requests that have not been answered and whose callers have gone. */
const cancelled = new Set<number>();

function throwIfCancelled({ id }: TokenizerRequest): void {
  if (cancelled.has(id)) throw new Error('cancelled');
}

class TooLongError extends Error {
  constructor(readonly where: TooLong) {
    super(`Text ${where.index} has ${where.tokens} tokens; the limit is ${where.limit}.`);
  }
}

/**
 * Whether the beginning of text `index` gives the tokens of the whole: if it has as many as are kept. What the library
 * keeps of a pair depends on both lengths unless one text has room and the other, alone, more than there is.
 */
async function isEnough(
  tokenizer: Tokenizer,
  { texts, pairs, prefix, limit, truncate, pairTruncation, cut }: EncodeRequest,
  encoding: Encoding,
  index: number,
): Promise<boolean> {
  const side = cut?.[index];
  if (side === undefined) return true;
  if (!truncate) return encoding.getLength() > limit;
  if (!pairs || pairTruncation === 'onlySecond') return encoding.getLength() >= limit;
  const alone = [prefix + texts[index]!, pairs[index]!].map(async (text) =>
    (await tokenizer.encode(text, null, { addSpecialTokens: false })).getLength(),
  );
  const counts = await Promise.all(alone);
  const room = limit - segmentsOf(encoding).filter((segment) => segment < 0).length;
  return counts[side]! >= room && counts[1 - side]! < room;
}

async function encode(
  tokenizer: Tokenizer,
  request: EncodeRequest,
): Promise<EncodedReply | CutTooShortReply> {
  const { prefix, pairs, limit, stride } = request;
  const options = { addSpecialTokens: request.specialTokens };
  const texts = prefix ? request.texts.map((text) => prefix + text) : request.texts;
  const longestFirst = stride === undefined && !(pairs && request.pairTruncation === 'onlySecond');
  setTruncation(tokenizer, request.truncate && longestFirst ? limit : undefined);
  // encodeBatch takes no pairs in this binding.
  const encodings = pairs
    ? await Promise.all(texts.map((text, i) => tokenizer.encode(text, pairs[i]!, options)))
    : await tokenizer.encodeBatch(texts, options);
  throwIfCancelled(request);
  const enough = await Promise.all(encodings.map((encoding, i) => isEnough(tokenizer, request, encoding, i)));
  if (enough.includes(false)) return { kind: 'cutTooShort', id: request.id };
  const sequences = encodings.flatMap((encoding, i) => withinLimit(encoding, i, request));
  const chunk = concatenate(sequences);
  const source = (text: number) => ({ text: request.texts[text]!, pair: pairs?.[text], prefix });
  return {
    kind: 'encoded',
    id: request.id,
    ...chunk,
    details: request.details ? tokenDetails(sequences, chunk.ids.length, source) : undefined,
    ...(stride !== undefined && {
      texts: Int32Array.from(sequences, ({ text }) => text),
      repeatsAt: Int32Array.from(sequences, ({ repeatsAt }) => repeatsAt),
    }),
  };
}

/** The sequences that become of one encoding: itself, what is left after a cut, or its windows. */
function withinLimit(encoding: Encoding, index: number, request: EncodeRequest): Sequence[] {
  const { limit, stride } = request;
  const length = encoding.getLength();
  if (length <= limit) return [wholeSequence(encoding, index)];
  const where = { index, tokens: length, more: request.cut?.[index] !== undefined, limit };
  if (stride === undefined && !request.truncate) throw new TooLongError({ ...where, noRoom: false });
  const overlong = { length, body: bodyOf(encoding, request.pairs !== undefined, request.prefix), limit };
  const kept = cut(overlong, truncationSide);
  const results = stride === undefined ? kept && [kept] : windows(overlong, stride);
  if (!results) throw new TooLongError({ ...where, noRoom: true });
  const [head] = overlong.body;
  return results.map((ranges, i) => ({ encoding, ranges, text: index, repeatsAt: i === 0 ? -1 : head }));
}

/** As sentence-transformers counts it: the prompt's own sequence less a last special token. */
async function prefixLength(tokenizer: Tokenizer, request: PrefixLengthRequest): Promise<number> {
  setTruncation(tokenizer, request.limit);
  const encoding = await tokenizer.encode(request.prefix);
  return encoding.getLength() - (encoding.getSpecialTokensMask().at(-1) ?? 0);
}

async function decode(tokenizer: Tokenizer, request: DecodeRequest): Promise<DecodedReply> {
  let end = 0;
  const sequences = Array.from(request.lengths, (length) => [...request.ids.subarray(end, (end += length))]);
  const texts = await tokenizer.decodeBatch(sequences, request.skipSpecialTokens);
  return { kind: 'decoded', id: request.id, texts };
}

async function answer(tokenizer: Tokenizer, request: TokenizerRequest): Promise<TokenizerReply> {
  switch (request.kind) {
    case 'encode':
      return encode(tokenizer, request);
    case 'decode':
      return decode(tokenizer, request);
    case 'tokenIds': {
      const ids = request.tokens.map((token) => tokenizer.tokenToId(token) ?? undefined);
      return { kind: 'tokenIds', id: request.id, ids };
    }
    case 'prefixLength':
      return { kind: 'prefixLength', id: request.id, tokens: await prefixLength(tokenizer, request) };
  }
}

async function reply(tokenizer: Tokenizer, request: TokenizerRequest): Promise<TokenizerReply> {
  try {
    throwIfCancelled(request);
    return await answer(tokenizer, request);
  } catch (error) {
    const failure = { kind: 'failed', id: request.id, message: (error as Error).message } as const;
    return error instanceof TooLongError
      ? { ...failure, code: 'E_TOO_LONG', tooLong: error.where }
      : { ...failure, code: 'E_BAD_TOKENIZER' };
  }
}

function buffersOf({ ids, lengths, tokenTypes, texts, repeatsAt, details }: EncodedReply): ArrayBuffer[] {
  return [ids, lengths, tokenTypes, texts, repeatsAt, ...Object.values(details ?? {})].flatMap((array) =>
    array ? [array.buffer as ArrayBuffer] : [],
  );
}

function send(message: TokenizerReply): void {
  port.postMessage(message, message.kind === 'encoded' ? buffersOf(message) : []);
}

/** What the binding does not tell. Parsing the file would take as long as loading it: a key cannot occur in a string. */
function readFacts(
  tokenizer: Tokenizer,
): Pick<TokenizerReady, 'marksSubwords' | 'locality'> & { truncationSide: TruncationSide } {
  const file = readFileSync(setup.file);
  const text = file.toString('latin1');
  const pipeline = readPipeline(file);
  const normalizer = tokenizer.getNormalizer();
  // As transformers: tokenizer_config.json, or else the settings that tokenizer.json was saved with.
  const cutsLeft = /"truncation"\s*:\s*\{[^}]*"direction"\s*:\s*"Left"/.test(text);
  const side = setup.truncationSide ?? (cutsLeft ? 'left' : 'right');
  return {
    truncationSide: side,
    marksSubwords: /"continuing_subword_prefix"\s*:\s*"[^"]/.test(text),
    // The end of a text that is cut at its left depends on nothing that is known here.
    locality:
      pipeline && side === 'right'
        ? localityOf(pipeline, (words) => normalizer?.normalizeString(words) ?? words)
        : undefined,
  };
}

async function main(): Promise<void> {
  const { tokenizer, lowersCase } = load();
  const empty = await tokenizer.encode('');
  const idOf = (tokens: readonly string[]) =>
    tokens.map((token) => tokenizer.tokenToId(token) ?? undefined).find((id) => id !== undefined);
  const { truncationSide: side, ...facts } = readFacts(tokenizer);
  truncationSide = side;
  const ends = { bos: empty.getTokens().at(0), eos: empty.getTokens().at(-1) };
  send({
    kind: 'ready',
    vocabSize: tokenizer.getVocabSize(true),
    baseVocabSize: tokenizer.getVocabSize(false),
    around: { bos: ends.bos === setup.addedToken.bos, eos: ends.eos === setup.addedToken.eos },
    padId: idOf(setup.padToken === undefined ? [] : [setup.padToken]),
    maskId: idOf(setup.maskTokens),
    unknownId: idOf(setup.unknownTokens),
    lowersCase,
    ...facts,
    specialTokens: empty.getLength(),
    pairSpecialTokens: (await tokenizer.encode('', '')).getLength(),
  });
  // Truncation is a setting of the tokenizer, so requests take turns; a batch runs on all cores by itself.
  let turn = Promise.resolve();
  let answered = -1;
  port.on('message', (request: TokenizerRequest | Cancellation) => {
    if (request.kind === 'cancel') {
      // Ids grow: a reply may be on its way.
      if (request.id > answered) cancelled.add(request.id);
      return;
    }
    turn = turn.then(async () => {
      send(await reply(tokenizer, request));
      answered = request.id;
      cancelled.delete(request.id);
    });
  });
}

main().catch((error: Error) => {
  // The binding puts nothing between these words and the reason.
  const message = error.message.replace(/^Error loading from file/, '');
  send({ kind: 'failed', id: undefined, code: 'E_BAD_TOKENIZER', message });
});
