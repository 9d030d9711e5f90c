import { NO_LIMIT } from '../tokenizer/settings';
import type { ModelDirectory } from './directory';
import { reader, type Reader } from './reader';

/** The names the Transformer module has given its settings over the years; the first that says anything counts. */
const FILES = [
  'sentence_bert_config.json',
  'sentence_roberta_config.json',
  'sentence_distilbert_config.json',
  'sentence_camembert_config.json',
  'sentence_albert_config.json',
  'sentence_xlm-roberta_config.json',
  'sentence_xlnet_config.json',
];

/** Arguments for transformers that change no number here; any other could. */
const HARMLESS: Readonly<Record<string, readonly string[]>> = {
  model: [
    'add_pooling_layer',
    'attn_implementation',
    'dtype',
    'torch_dtype',
    'trust_remote_code',
    'use_safetensors',
  ],
  processor: ['model_max_length', 'padding_side', 'trust_remote_code', 'use_fast'],
  config: ['trust_remote_code'],
};

/** What only other kinds of sentence-transformers models use. */
const MULTI_VECTOR = ['query_length', 'document_length', 'query_expansion'];

/** The arguments of one kind, by their new and their old key. */
function argumentsFor(field: Reader, kind: 'model' | 'processor' | 'config'): Reader | undefined {
  const given = field.optionalObject([
    `${kind}_kwargs`,
    kind === 'processor' ? 'tokenizer_args' : `${kind}_args`,
  ]);
  for (const key of given?.keys() ?? []) {
    if (!HARMLESS[kind]!.includes(key) && given!.has(key)) {
      throw given!.error(key, 'is an argument for transformers that is not supported here', 'E_UNSUPPORTED');
    }
  }
  return given;
}

/** What a Transformer module is used for, and so what it must put out. */
export type TransformerUse = 'embeddings' | 'logits' | 'multi-vector';

/** Refuses a Transformer module that puts out anything else than its use takes. */
function refuseOtherOutputs(field: Reader, use: TransformerUse): void {
  const [task, output] =
    use === 'logits'
      ? (['fill-mask', 'logits'] as const)
      : (['feature-extraction', 'last_hidden_state'] as const);
  field.oneOf('transformer_task', [task], task);
  field.oneOf('module_output_name', ['token_embeddings'], 'token_embeddings');
  const text = field.optionalObject('modality_config')?.optionalObject('text');
  text?.oneOf('method', ['forward'], 'forward');
  text?.oneOf('method_output_name', [output], output);
  if (use === 'multi-vector') return;
  for (const key of MULTI_VECTOR) {
    if (field.has(key))
      throw field.error(
        key,
        'is a setting of multi-vector models: load it with LateInteraction',
        'E_UNSUPPORTED',
      );
  }
}

/** A number of tokens; undefined where there is none, or transformers' int(1e30), which means no limit. */
export function tokenLimit(field: Reader, name: string): number | undefined {
  const isNone = (field.optionalNumber(name, { min: 1 }) ?? Infinity) >= NO_LIMIT;
  return isNone ? undefined : field.optionalInteger(name, { min: 1 });
}

/** What a Transformer module does with its texts. */
export interface TokenLimits {
  maxSeqLength?: number;
  doLowerCase: boolean;
  /** The rest of the file, for multi-vector models. */
  fields?: Reader;
}

/** Reads what the Transformer module in `folder` says about its input. */
export async function readTokenLimits(
  directory: ModelDirectory,
  folder: string,
  use: TransformerUse = 'embeddings',
): Promise<TokenLimits> {
  for (const name of FILES) {
    const file = folder === '' ? name : `${folder}/${name}`;
    const values = await directory.json(file, { optional: true });
    if (!values || Object.keys(values).length === 0) continue;
    const field = reader(values, file);
    refuseOtherOutputs(field, use);
    argumentsFor(field, 'model');
    argumentsFor(field, 'config');
    const processor = argumentsFor(field, 'processor');
    const fromTokenizer = processor && tokenLimit(processor, 'model_max_length');
    const maxSeqLength = fromTokenizer ?? tokenLimit(field, 'max_seq_length');
    return {
      ...(maxSeqLength !== undefined && { maxSeqLength }),
      doLowerCase: field.boolean('do_lower_case', false),
      ...(use === 'multi-vector' && { fields: field }),
    };
  }
  return { doLowerCase: false };
}
