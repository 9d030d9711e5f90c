import { activationOf } from '../activations';
import type { Reader } from '../reader';
import type { Activation, EncoderSpec } from '../spec';
import type { HeadTask, TaskHead } from './task_head';

/** What a layout is made from. */
export interface HeadFacts {
  field: Reader;
  spec: EncoderSpec;
  /** Number of labels. */
  labels: number;
}

/** A layer by its names in the checkpoint. */
export type LayoutStep =
  | {
      kind: 'dense';
      /** Name without `.weight`. */
      name: string;
      /** Names that the bias may have; none: there is no bias. */
      bias: readonly string[];
      out: number;
      activation: Activation;
      /**
       * Where the weight is: under its name; in the word embeddings, where config.json ties them and there is
       * none of that name; or in the encoder's pooler, with its bias.
       */
      weight: 'own' | 'tied' | 'pooler';
    }
  | { kind: 'norm'; name: string; bias: boolean; eps: number };

/** Where a head reads and its layers. */
export interface Layout {
  from: TaskHead['from'];
  mean?: boolean;
  skipId?: number | undefined;
  steps: LayoutStep[];
  /** Beginnings of names that belong to the head: another tensor there may be maths that would be lost. */
  roots: readonly string[];
}

type MakeLayout = (facts: HeadFacts) => Layout;
type Layouts = Partial<Record<HeadTask, MakeLayout>>;

interface DenseOptions {
  activation?: Activation;
  bias?: boolean | readonly string[];
  weight?: 'own' | 'tied' | 'pooler';
}

function dense(name: string, out: number, options: DenseOptions = {}): LayoutStep {
  const { activation = 'none', bias = true, weight = 'own' } = options;
  const names = typeof bias === 'boolean' ? (bias ? [`${name}.bias`] : []) : bias;
  return { kind: 'dense', name, bias: names, out, activation, weight };
}

const norm = (name: string, eps: number, bias = true): LayoutStep => ({ kind: 'norm', name, bias, eps });

/** The words of `classifier_pooling` for the first token and for the mean. */
const pooling = (field: Reader, first: string): 'cls' | 'mean' =>
  field.oneOf('classifier_pooling', [first, 'mean'], first) === 'mean' ? 'mean' : 'cls';

/** One dense layer on every token. */
const perToken =
  (name: string, width: (facts: HeadFacts) => number): MakeLayout =>
  (facts) => ({ from: 'tokens', steps: [dense(name, width(facts))], roots: [`${name}.`] });

const tokenLabels = perToken('classifier', ({ labels }) => labels);
const startAndEnd = perToken('qa_outputs', () => 2);

/** The encoder's pooler (dense and tanh on the first token), then a classifier: BERT. */
const pooledLabels: MakeLayout = ({ spec, labels }) => ({
  from: 'cls',
  steps: [
    dense('pooler', spec.hiddenSize, { activation: 'tanh', weight: 'pooler' }),
    dense('classifier', labels),
  ],
  roots: ['classifier.'],
});

/** Two dense layers on the first token: RoBERTa, ELECTRA. */
const twoLayerLabels =
  (activation: Activation): MakeLayout =>
  ({ spec, labels }) => ({
    from: 'cls',
    steps: [dense('classifier.dense', spec.hiddenSize, { activation }), dense('classifier.out_proj', labels)],
    roots: ['classifier.'],
  });

const distilLabels: MakeLayout = ({ spec, labels }) => ({
  from: 'cls',
  steps: [dense('pre_classifier', spec.hiddenSize, { activation: 'relu' }), dense('classifier', labels)],
  roots: ['pre_classifier.', 'classifier.'],
});

/** DeBERTa's ContextPooler: a dense layer of its own on the first token. */
const contextLabels: MakeLayout = ({ field, spec, labels }) => {
  const activation = activationOf(field, 'pooler_hidden_act', 'gelu');
  return {
    from: 'cls',
    steps: [dense('pooler.dense', spec.hiddenSize, { activation }), dense('classifier', labels)],
    roots: ['pooler.', 'classifier.'],
  };
};

/** ModernBERT's prediction head: dense, activation, norm. */
function modernSteps({ field, spec }: HeadFacts): LayoutStep[] {
  return [
    dense('head.dense', spec.hiddenSize, {
      activation: activationOf(field, 'classifier_activation', 'gelu'),
      bias: field.boolean('classifier_bias', false),
    }),
    norm('head.norm', spec.norm.eps, field.boolean('norm_bias', false)),
  ];
}

const modern =
  (from: (field: Reader) => TaskHead['from'], width: (facts: HeadFacts) => number): MakeLayout =>
  (facts) => ({
    from: from(facts.field),
    steps: [...modernSteps(facts), dense('classifier', width(facts))],
    roots: ['head.', 'classifier.'],
  });

/** EuroBERT pools before the two layers or, `late`, averages what they give for the tokens. */
const euroLabels: MakeLayout = ({ field, spec, labels }) => {
  const late = field.oneOf('classifier_pooling', ['late', 'bos', 'mean'], 'late') === 'late';
  return {
    from: late ? 'tokens' : pooling(field, 'bos'),
    mean: late,
    steps: [dense('dense', spec.hiddenSize, { activation: 'gelu' }), dense('classifier', labels)],
    roots: ['dense.', 'classifier.'],
  };
};

/** transformers' GenericForSequenceClassification: the last token that is not padding. */
const lastTokenLabels: MakeLayout = ({ field, labels }) => ({
  from: 'lasttoken',
  skipId: field.optionalInteger('pad_token_id', { min: 0 }),
  steps: [dense('score', labels, { bias: false })],
  roots: ['score.'],
});

/** Dense, activation and norm, then a product with the word embeddings; a row has the width of these. */
function decoder(
  roots: readonly string[],
  names: { dense: string; norm: string; output: string; bias: readonly string[] },
  own: { activation?: Activation; eps?: number } = {},
): MakeLayout {
  return ({ spec }) => ({
    from: 'tokens',
    steps: [
      dense(names.dense, spec.embeddings.width, { activation: own.activation ?? spec.mlp.activation }),
      norm(names.norm, own.eps ?? spec.norm.eps),
      dense(names.output, spec.vocabSize, { bias: names.bias, weight: 'tied' }),
    ],
    roots,
  });
}

const clsWords = (normName: string) =>
  decoder(['cls.predictions.'], {
    dense: 'cls.predictions.transform.dense',
    norm: `cls.predictions.transform.${normName}`,
    output: 'cls.predictions.decoder',
    bias: ['cls.predictions.decoder.bias', 'cls.predictions.bias'],
  });

const bertWords = clsWords('LayerNorm');

/** RoBERTa's lm_head, whose activation is gelu whatever the encoder's. */
const lmHeadWords = decoder(
  ['lm_head.'],
  {
    dense: 'lm_head.dense',
    norm: 'lm_head.layer_norm',
    output: 'lm_head.decoder',
    bias: ['lm_head.decoder.bias', 'lm_head.bias'],
  },
  { activation: 'gelu' },
);

const distilWords = decoder(
  ['vocab_transform.', 'vocab_layer_norm.', 'vocab_projector.'],
  {
    dense: 'vocab_transform',
    norm: 'vocab_layer_norm',
    output: 'vocab_projector',
    bias: ['vocab_projector.bias'],
  },
  { eps: 1e-12 },
);

const albertWords = decoder(['predictions.'], {
  dense: 'predictions.dense',
  norm: 'predictions.LayerNorm',
  output: 'predictions.decoder',
  bias: ['predictions.decoder.bias', 'predictions.bias'],
});

const electraWords = decoder(
  ['generator_predictions.', 'generator_lm_head.'],
  {
    dense: 'generator_predictions.dense',
    norm: 'generator_predictions.LayerNorm',
    output: 'generator_lm_head',
    bias: ['generator_lm_head.bias'],
  },
  { activation: 'gelu' },
);

const modernWords: MakeLayout = (facts) => ({
  from: 'tokens',
  steps: [
    ...modernSteps(facts),
    dense('decoder', facts.spec.vocabSize, {
      bias: facts.field.boolean('decoder_bias', true),
      weight: 'tied',
    }),
  ],
  roots: ['head.', 'decoder.'],
});

/** DeBERTa's head comes in two layouts; only the one that transformers calls legacy is written nowadays. */
const debertaWords: MakeLayout = (facts) => {
  if (!facts.field.boolean('legacy', true)) {
    throw facts.field.error('legacy', 'is false: the head of that layout is not supported', 'E_UNSUPPORTED');
  }
  return bertWords(facts);
};

/** One product with the word embeddings, or with a matrix of its own. */
const plainWords =
  (bias: (field: Reader) => boolean): MakeLayout =>
  ({ field, spec }) => ({
    from: 'tokens',
    steps: [dense('lm_head', spec.vocabSize, { bias: bias(field), weight: 'tied' })],
    roots: ['lm_head.'],
  });

const bert: Layouts = {
  'sequence-classification': pooledLabels,
  'token-classification': tokenLabels,
  'question-answering': startAndEnd,
  'masked-lm': bertWords,
};

const roberta: Layouts = {
  ...bert,
  'sequence-classification': twoLayerLabels('tanh'),
  'masked-lm': lmHeadWords,
};

const deberta: Layouts = { ...bert, 'sequence-classification': contextLabels, 'masked-lm': debertaWords };

const decoderOnly: Layouts = {
  'sequence-classification': lastTokenLabels,
  'token-classification': perToken('score', ({ labels }) => labels),
  'causal-lm': plainWords(() => false),
};

/** The heads by the class names of `architectures`, less their `For...`. */
export const layouts: Readonly<Record<string, Layouts>> = {
  Bert: bert,
  Ernie: bert,
  Roberta: roberta,
  XLMRoberta: roberta,
  Camembert: roberta,
  JinaEmbeddingsV3: roberta,
  MPNet: roberta,
  DistilBert: { ...bert, 'sequence-classification': distilLabels, 'masked-lm': distilWords },
  Albert: { ...bert, 'masked-lm': albertWords },
  Electra: { ...bert, 'sequence-classification': twoLayerLabels('gelu'), 'masked-lm': electraWords },
  Deberta: deberta,
  DebertaV2: deberta,
  ModernBert: {
    'sequence-classification': modern(
      (field) => pooling(field, 'cls'),
      ({ labels }) => labels,
    ),
    'token-classification': modern(
      () => 'tokens',
      ({ labels }) => labels,
    ),
    'question-answering': modern(
      () => 'tokens',
      () => 2,
    ),
    'masked-lm': modernWords,
  },
  NomicBert: { ...bert, 'masked-lm': clsWords('layer_norm') },
  Gte: { ...bert, 'masked-lm': lmHeadWords },
  New: { 'sequence-classification': pooledLabels, 'token-classification': tokenLabels },
  EuroBert: {
    'sequence-classification': euroLabels,
    'token-classification': tokenLabels,
    'masked-lm': plainWords((field) => field.boolean('mlp_bias', false)),
  },
  Qwen3: decoderOnly,
  Mistral: decoderOnly,
};
