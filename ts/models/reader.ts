import { PadlessError, type ErrorCode } from '../errors';
import { nearest } from '../options';

/** Limits of a number, both inclusive. */
export interface Range {
  min?: number;
  max?: number;
}

/** One key, or several of which the first present one counts. */
export type Names = string | readonly string[];

/** `null` is how Python writes None: the key counts as absent. */
const isPresent = (value: unknown): boolean => value !== undefined && value !== null;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value in a message: short, and told apart from its neighbours in type. */
function show(value: unknown): string {
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function rangeWords({ min, max }: Range): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? '' : ` of at most ${max}`;
}

/**
 * Typed access to the fields of one JSON object of a model directory. Every failure is a PadlessError that names
 * the file and the key: E_BAD_CONFIG for a missing key, a wrong type or a value out of range, E_UNSUPPORTED for
 * a word that no code here knows.
 */
export class Reader {
  readonly #read = new Set<string>();

  constructor(
    private readonly values: Record<string, unknown>,
    /** Relative to the model directory. */
    readonly file: string,
    private readonly path = '',
  ) {}

  /** Whether the key is there and not null. */
  has(name: string): boolean {
    return isPresent(this.#own(name));
  }

  /** A finite number. Without a default the key must be there. */
  number(names: Names, fallback?: number, range: Range = {}): number {
    return this.optionalNumber(names, range) ?? this.#required(names, fallback);
  }

  optionalNumber(names: Names, range: Range = {}): number | undefined {
    return this.#optional(names, (value, name) =>
      this.#inRange(value, name, 'a number', Number.isFinite, range),
    );
  }

  /** An integer that a double holds exactly. */
  integer(names: Names, range: Range = {}, fallback?: number): number {
    return this.optionalInteger(names, range) ?? this.#required(names, fallback);
  }

  optionalInteger(names: Names, range: Range = {}): number | undefined {
    return this.#optional(names, (value, name) =>
      this.#inRange(value, name, 'an integer', Number.isSafeInteger, range),
    );
  }

  /** `true` or `false`; the strings "true" and "false" are refused. */
  boolean(names: Names, fallback?: boolean): boolean {
    return this.optionalBoolean(names) ?? this.#required(names, fallback);
  }

  optionalBoolean(names: Names): boolean | undefined {
    return this.#optional(names, (value, name) =>
      typeof value === 'boolean' ? value : this.#fail(name, `must be true or false, not ${show(value)}`),
    );
  }

  /** Also the strings "true" and "false", in any case: some repositories write them. */
  looseBoolean(names: Names, fallback?: boolean): boolean {
    const value = this.#optional(names, (given, name) => {
      if (typeof given === 'boolean') return given;
      const word = typeof given === 'string' ? given.toLowerCase() : '';
      return (
        word === 'true' || (word !== 'false' && this.#fail(name, `must be true or false, not ${show(given)}`))
      );
    });
    return value ?? this.#required(names, fallback);
  }

  string(names: Names, fallback?: string): string {
    return this.optionalString(names) ?? this.#required(names, fallback);
  }

  optionalString(names: Names): string | undefined {
    return this.#optional(names, (value, name) =>
      typeof value === 'string' ? value : this.#fail(name, `must be a string, not ${show(value)}`),
    );
  }

  /** One of the words that are supported; another one is E_UNSUPPORTED. */
  oneOf<const W extends string>(names: Names, words: readonly W[], fallback?: W): W {
    return this.optionalOneOf(names, words) ?? this.#required(names, fallback);
  }

  optionalOneOf<const W extends string>(names: Names, words: readonly W[]): W | undefined {
    return this.#optional(names, (value, name) => this.#word(value, name, words));
  }

  /** A list, each element read as by {@link oneOf}. */
  listOf<const W extends string>(names: Names, words: readonly W[]): W[] {
    const list = this.#optional(names, (value, name) => {
      if (!Array.isArray(value)) this.#fail(name, `must be a list, not ${show(value)}`);
      return (value as unknown[]).map((element, index) => this.#word(element, `${name}[${index}]`, words));
    });
    return list ?? this.#required<W[]>(names, undefined);
  }

  /** The reader of a nested object. */
  object(names: Names): Reader {
    return this.optionalObject(names) ?? this.#required<Reader>(names, undefined);
  }

  optionalObject(names: Names): Reader | undefined {
    return this.#optional(names, (value, name) =>
      isObject(value)
        ? new Reader(value, this.file, `${this.path}${name}.`)
        : this.#fail(name, `must be an object, not ${show(value)}`),
    );
  }

  /** The value as it is, for shapes of data that no method here reads. */
  raw(names: Names): unknown {
    return this.#optional(names, (value) => value);
  }

  /** The keys of the object. */
  keys(): string[] {
    return Object.keys(this.values);
  }

  /** Keys that were asked for, whether they were there or not. */
  get consumed(): ReadonlySet<string> {
    return this.#read;
  }

  /** Keys with a value that nobody has asked for. */
  unread(): string[] {
    return this.keys().filter((key) => !this.#read.has(key) && isPresent(this.values[key]));
  }

  /** The error to throw about `name`, "FILE: "name" `message`.". */
  error(name: string, message: string, code: ErrorCode = 'E_BAD_CONFIG'): PadlessError {
    return new PadlessError(code, `${this.file}: "${this.path}${name}" ${message}.`, {
      field: this.path + name,
    });
  }

  #fail(name: string, message: string, code?: ErrorCode): never {
    throw this.error(name, message, code);
  }

  #own(name: string): unknown {
    return Object.hasOwn(this.values, name) ? this.values[name] : undefined;
  }

  #optional<T>(names: Names, read: (value: unknown, name: string) => T): T | undefined {
    const candidates = typeof names === 'string' ? [names] : names;
    for (const name of candidates) this.#read.add(name);
    const name = candidates.find((candidate) => this.has(candidate));
    return name === undefined ? undefined : read(this.#own(name), name);
  }

  #required<T>(names: Names, fallback: T | undefined): T {
    if (fallback !== undefined) return fallback;
    const [name, ...others] = typeof names === 'string' ? [names] : names;
    const alternatives = others.length > 0 ? ` (or ${others.map((other) => `"${other}"`).join(', ')})` : '';
    const typo = nearest(
      name!,
      this.keys().filter((key) => !this.#read.has(key)),
    );
    return this.#fail(name!, `is missing${alternatives}${typo ? `; is "${typo}" a typo of it?` : ''}`);
  }

  #inRange(
    value: unknown,
    name: string,
    what: string,
    isLegal: (value: number) => boolean,
    range: Range,
  ): number {
    const { min = -Infinity, max = Infinity } = range;
    if (typeof value === 'number' && isLegal(value) && value >= min && value <= max) return value;
    return this.#fail(name, `must be ${what}${rangeWords(range)}, not ${show(value)}`);
  }

  #word<W extends string>(value: unknown, name: string, words: readonly W[]): W {
    if (typeof value !== 'string') return this.#fail(name, `must be a string, not ${show(value)}`);
    if (words.includes(value as W)) return value as W;
    const guess = nearest(value, words);
    return this.#fail(
      name,
      `is ${show(value)}, which is not supported${guess ? ` (did you mean "${guess}"?)` : ''}; supported are ${words.join(', ')}`,
      'E_UNSUPPORTED',
    );
  }
}

/** A reader of `values`, the top level of `file`. */
export function reader(values: Record<string, unknown>, file: string): Reader {
  return new Reader(values, file);
}
