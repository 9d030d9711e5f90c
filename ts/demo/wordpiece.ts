import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer, WordPiece, bertNormalizer, bertPreTokenizer } from 'tokenizers';

/** BERT's special tokens; their place here is their id. */
const SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];

interface TokenizerFile {
  model: { vocab: Record<string, number> };
}

/**
 * Trains a WordPiece vocabulary on text files with the `tokenizers` package and writes tokenizer.json and
 * tokenizer_config.json of a BERT into `folder`.
 *
 * @returns the size of the vocabulary.
 */
export async function trainWordPiece(files: string[], folder: string): Promise<number> {
  const tokenizer = new Tokenizer(WordPiece.empty());
  tokenizer.setNormalizer(bertNormalizer());
  tokenizer.setPreTokenizer(bertPreTokenizer());
  tokenizer.train(files);
  const path = join(folder, 'tokenizer.json');
  tokenizer.save(path);
  // This binding's trainer takes no special tokens, so they are put in front of what it learnt. It breaks ties
  // between merges by hash order; sorting makes the ids depend on the set of pieces alone.
  const file = JSON.parse(await readFile(path, 'utf8')) as TokenizerFile;
  const vocab = [...SPECIAL_TOKENS, ...Object.keys(file.model.vocab).sort()];
  const id = (token: string) => SPECIAL_TOKENS.indexOf(token);
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } });
  const sequence = (name: 'A' | 'B', type: number) => ({ Sequence: { id: name, type_id: type } });
  const complete = {
    ...file,
    added_tokens: SPECIAL_TOKENS.map((content) => ({
      id: id(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]'), sequence('A', 0), special('[SEP]')],
      pair: [
        special('[CLS]'),
        sequence('A', 0),
        special('[SEP]'),
        sequence('B', 1),
        { SpecialToken: { id: '[SEP]', type_id: 1 } },
      ],
      special_tokens: Object.fromEntries(
        ['[CLS]', '[SEP]'].map((token) => [token, { id: token, ids: [id(token)], tokens: [token] }]),
      ),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { ...file.model, vocab: Object.fromEntries(vocab.map((token, i) => [token, i])) },
  };
  await writeFile(path, JSON.stringify(complete));
  const config = {
    tokenizer_class: 'BertTokenizer',
    do_lower_case: true,
    pad_token: '[PAD]',
    model_max_length: 256,
  };
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  return vocab.length;
}
