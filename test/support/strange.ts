/** What breaks offsets and tokenizers: halves of pairs, NUL, 4-byte characters, two directions, combining marks, nothing. */
export const STRANGE_TEXTS = [
  'a lone \ud800 surrogate and \udfff another',
  'nul\x00inside',
  '𝔊othic 👩‍🚀👨‍👩‍👧‍👦 letters',
  'שלום עולם and مرحبا بالعالم',
  'e\u0301 combining a\u0308\u0323 marks',
  '',
  ' ',
];
