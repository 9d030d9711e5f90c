// Long texts are cut before they are tokenized, and no token that is kept of them may change by it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as Library } from 'tokenizers';
import { Random } from '../../ts/demo/random';
import type { PadlessError } from '../../ts/errors';
import { ModelDirectory } from '../../ts/models/directory';
import { localityOf, readPipeline } from '../../ts/tokenizer/locality';
import * as prefixes from '../../ts/tokenizer/prefixes';
import type { Locality } from '../../ts/tokenizer/protocol';
import { Tokenizer, type EncodeOptions } from '../../ts/tokenizer/tokenizer';
import { scratchDirectory } from '../support/scratch';
import { localTokenizers, otherTokenizers } from '../support/tokenizers';

const { beginnings } = prefixes;
const scratch = scratchDirectory();
const seed = Number(process.env['PADLESS_TEST_SEED'] ?? 5);
const random = new Random(seed);
const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!;

/** What goes wrong at seams: marks, joiners, cases that look ahead, spaces of all kinds, added tokens. */
const parts = [
  ...['the', 'fox', 'river', 'ab', "don't", "we'll've", 'İstanbul', 'ΌΔΟΣ', 'ﬁn', 'Ａ', 'ß', 'naïve', 'q'],
  ...['дом', 'ёж', 'שלום', 'سلام', 'कुत्ता', 'कम', '서울', '각', '1', '234', '5678901', '3.14', '①'],
  ...['e\u0301', 'a\u0300\u0323', '\u0301', '\u200d', '\u1100\u1161', '\u0d4e', '\u0600', '\ufdfa', '\u00ad'],
  ...['👩‍👩‍👧', '🇩🇪🇫', '\ud800', '\u0000', '\u0085', '▁', '_', '-', '...', '?!', '「', '。', '，', "'s", "'"],
  ...['河', '河流', '中文字符', 'かな', 'ไทย', '<mask>', '[MASK]', '</s>', '<s>', '[SEP]', 'fox the'],
];
const spaces = [
  ...Array<string>(12).fill(' '),
  '  ',
  '   ',
  '\n',
  '\r\n',
  '\t',
  '\u00a0',
  '\u3000',
  '\u2028',
  '',
];
const letters = () => pick(prefixes.LETTERS) + pick(prefixes.LETTERS);

function textOf(words: number): string {
  let text = '';
  for (let i = 0; i < words; i++) text += (random.below(3) === 0 ? letters() : pick(parts)) + pick(spaces);
  return text;
}

function folderOf(name: string, json: unknown): string {
  const folder = join(scratch, name.replace(/\W+/g, '-'));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json));
  return folder;
}

function localityOfFile(json: unknown, library: Library): Locality | undefined {
  const normalizer = library.getNormalizer();
  const pipeline = readPipeline(Buffer.from(JSON.stringify(json, null, 2)));
  return localityOf(pipeline!, (text) => normalizer?.normalizeString(text) ?? text);
}

describe.each(Object.entries(localTokenizers))('%s', (name, json) => {
  test(`where a text may be cut, its beginning has the tokens that it has in the whole (seed ${seed})`, async () => {
    const library = Library.fromString(JSON.stringify(json));
    const locality = localityOfFile(json, library)!;
    expect(locality).toBe(['bert', 'bert, with words added'].includes(name) ? 'wordsAndHan' : 'words');
    const tokens = async (text: string) =>
      (await library.encode(text, null, { addSpecialTokens: false })).getIds();
    let cuts = 0;
    for (let round = 0; round < 25; round++) {
      const text = textOf(1 + random.below(60));
      const whole = await tokens(text);
      for (const { index } of text.matchAll(new RegExp(prefixes.CUTS[locality], 'g'))) {
        const beginning = await tokens(text.slice(0, index));
        expect({ text, index, ids: beginning }).toEqual({
          text,
          index,
          ids: whole.slice(0, beginning.length),
        });
        cuts++;
      }
    }
    expect(cuts).toBeGreaterThan(100);
  }, 120_000);

  test('encode gives what it gives of whole texts', async () => {
    const directory = await ModelDirectory.open(folderOf(name, json));
    const tokenizer = await Tokenizer.load(directory, { maxLength: 24 });
    const cut = jest.spyOn(prefixes, 'beginnings');
    let cuts = 0;
    const encode = async (texts: string[], options: EncodeOptions, isCut: boolean) => {
      cut.mockImplementation((...args) => {
        const result = isCut ? beginnings(...args) : undefined;
        if (result) cuts++;
        return result;
      });
      return tokenizer
        .encode(texts, options)
        .catch((error: PadlessError) => ({ code: error.code, field: error.field }));
    };
    const long = () => textOf(1300 + random.below(300));
    // Of the first characters nothing, or hardly anything, becomes a token.
    const sparse = () => '\u0000'.repeat(300) + ' '.repeat(200) + 'q'.repeat(500) + long();
    const short = () => textOf(random.below(12));
    const texts = [long(), short(), sparse(), long(), ''];
    const cases: [string[], EncodeOptions][] = [
      [texts, {}],
      [texts, { details: true, prefix: 'query: the ' }],
      [texts, { specialTokens: false, maxLength: 9 }],
      [texts, { stride: 4, details: true }],
      ...texts.slice(1, 4).map((text): [string[], EncodeOptions] => [[short(), text], { truncate: false }]),
      ...(['longestFirst', 'onlySecond'] as const).flatMap((pairTruncation): [string[], EncodeOptions][] => [
        [Array.from(texts, short), { pairs: texts, pairTruncation, details: true }],
        [texts, { pairs: Array.from(texts, short), pairTruncation }],
        [texts, { pairs: [...texts].reverse(), pairTruncation }],
        [Array.from(texts, () => 'q'), { pairs: texts, pairTruncation, truncate: false }],
      ]),
    ];
    for (const [given, options] of cases) {
      const result = await encode(given, options, true);
      expect({ given, options, result }).toEqual({
        given,
        options,
        result: await encode(given, options, false),
      });
    }
    expect(cuts).toBeGreaterThan(10);
    await tokenizer.dispose();
    jest.restoreAllMocks();
  }, 120_000);
});

test.each(Object.entries(otherTokenizers))('%s: texts stay whole', (_, json) => {
  const library = Library.fromString(JSON.stringify(json));
  expect(localityOfFile(json, library)).toBeUndefined();
});
