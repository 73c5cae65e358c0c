/** A YAML document that knows where its values stand, and what a schema has against it. */
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';
import { z } from 'zod';
import { DiagnosticList } from './diagnostics.ts';
import type { Position } from './diagnostics.ts';
import { didYouMean, nearest } from './nearest.ts';

/** Keys and indexes from the top of the document. */
export type Path = readonly PropertyKey[];

type Issue = z.core.$ZodIssue;

/** A key stands for these when it is spelled as hast.conf or another program spells it. */
const SYNONYMS: Readonly<Record<string, string>> = {
  virtual_router_id: 'vrid',
  nopreempt: 'preempt',
  advert_int: 'interval',
  auth_pass: 'password-file',
  unicast_peer: 'unicast',
  pass: 'password-file',
  password: 'password-file',
  secret: 'secret-file',
  ssl: 'tls',
  cert: 'certificate',
  crt: 'certificate',
  'cert-file': 'certificate',
  'certificate-file': 'certificate',
  'key-file': 'key',
  ca: 'authority',
  cafile: 'authority',
  'ca-file': 'authority',
  'trusted-ca-file': 'authority',
  address: 'addresses',
  resource: 'resources',
  group: 'groups',
  node: 'nodes',
  hook: 'hooks',
};

export class YamlSource {
  readonly diagnostics: DiagnosticList;
  private readonly document: Document;
  private readonly lines = new LineCounter();

  /** @throws ConfigFileError `config-invalid` when the text is no YAML */
  constructor(text: string, file: string) {
    this.diagnostics = new DiagnosticList(file);
    const document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false, stringKeys: true });
    this.document = document;
    for (const { message, pos } of document.errors) {
      this.diagnostics.error(this.position(pos[0]), `not valid YAML: ${oneLine(message)}`, yamlHint(message));
    }
    this.diagnostics.throwIfErrors();
  }

  /** Where the value of `path` stands, or its nearest parent that exists. */
  at(path: Path): Position {
    for (let length = path.length; length >= 0; length--) {
      const node = length === 0 ? this.document.contents : this.document.getIn(path.slice(0, length), true);
      if (isNode(node)) return this.start(node);
    }
    return { line: 1, column: 1 };
  }

  /** Where the last key of `path` stands, or, when it does not, its nearest parent. */
  keyAt(path: Path): Position {
    const key = path.at(-1);
    const parent = path.length < 2 ? this.document.contents : this.document.getIn(path.slice(0, -1), true);
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === key);
      if (pair !== undefined && isScalar(pair.key)) return this.start(pair.key);
    }
    return path.length === 0 ? this.at([]) : this.keyAt(path.slice(0, -1));
  }

  /**
   * The document as the schema understands it.
   * @throws ConfigFileError `config-invalid` with everything that the schema refuses
   */
  validate<T extends z.ZodType>(schema: T): z.output<T> {
    let value: unknown;
    try {
      value = this.document.toJS({ maxAliasCount: 100 }) ?? {};
    } catch (error) {
      this.diagnostics.error(this.at([]), `not usable YAML: ${String(error)}`, 'write it without aliases');
      this.diagnostics.throwIfErrors();
    }
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const meant = misspelt(result.error.issues, schema);
    for (const issue of result.error.issues) {
      const missing = this.document.getIn(issue.path) === undefined;
      // A misspelt key is one mistake: that the right one is missing is not said as well.
      if (!missing || !meant.has(dotted(issue.path))) this.report(issue, [], schema);
    }
    this.diagnostics.throwIfErrors();
    throw new TypeError('a refused document has an issue');
  }

  private report(issue: Issue, prefix: Path, schema: z.ZodType): void {
    const path = [...prefix, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        const known = knownKeys(schema, path);
        const synonym = SYNONYMS[key];
        const hint =
          synonym !== undefined && known.includes(synonym) ? `write '${synonym}'` : didYouMean(key, known);
        this.diagnostics.error(this.keyAt([...path, key]), `unknown key '${dotted([...path, key])}'`, hint);
      }
      return;
    }
    if (issue.code === 'invalid_union') {
      const branch = bestBranch(issue.errors);
      if (branch !== null) {
        for (const inner of branch) this.report(inner, path, schema);
        return;
      }
    }
    if (issue.code === 'invalid_key') {
      const message = `'${dotted(path)}' ${issue.issues[0]?.message ?? 'is no such name'}`;
      this.diagnostics.error(this.keyAt(path), message, 'rename it');
      return;
    }
    const got: unknown = this.document.getIn(path);
    const { message, hint } = explain(issue, got);
    const where = got === undefined ? this.keyAt(path.slice(0, -1)) : this.at(path);
    this.diagnostics.error(where, `'${dotted(path)}' ${message}`, hint);
  }

  private start(node: Node): Position {
    return this.position(node.range?.[0] ?? 0);
  }

  private position(offset: number): Position {
    const { line, col } = this.lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

/** `groups.storage.resources[0]` */
export function dotted(path: Path): string {
  if (path.length === 0) return 'the file';
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${String(key)}`))
    .join('');
}

/** The keys that unknown ones seem to have meant, as dotted paths. */
function misspelt(issues: readonly Issue[], schema: z.ZodType): ReadonlySet<string> {
  const meant = issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [];
    const known = knownKeys(schema, issue.path);
    return issue.keys.map((key) => dotted([...issue.path, SYNONYMS[key] ?? nearest(key, known) ?? key]));
  });
  return new Set(meant);
}

/** The branch of a union that the writer seems to have meant: the one that the value got into furthest. */
function bestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const deeper = branches.filter((issues) =>
    issues.every(
      ({ code, path }) => path.length > 0 || (code !== 'invalid_type' && code !== 'invalid_value'),
    ),
  );
  return deeper[0] ?? null;
}

function explain(issue: Issue, got: unknown): { message: string; hint: string | null } {
  if (got === undefined && issue.code !== 'custom') return { message: 'is missing', hint: 'add it' };
  switch (issue.code) {
    case 'invalid_type': {
      const expected = TYPE_WORDS[issue.expected] ?? issue.expected;
      return { message: `is ${shown(got)}`, hint: `write ${expected}` };
    }
    case 'invalid_value': {
      const values = issue.values.map(String);
      return { message: `cannot be ${shown(got)}`, hint: didYouMean(String(got), values) };
    }
    case 'too_small':
      return {
        message: `is ${shown(got)}`,
        hint: `use at least ${String(issue.minimum)}${unit(issue.origin)}`,
      };
    case 'too_big':
      return {
        message: `is ${shown(got)}`,
        hint: `use at most ${String(issue.maximum)}${unit(issue.origin)}`,
      };
    case 'invalid_union':
      return { message: `is ${shown(got)}`, hint: 'write another kind of value, as in the sample' };
    default:
      return { message: issue.message, hint: got === undefined ? null : `it is ${shown(got)}` };
  }
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list in [ ]',
  string: 'a word',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
};

function unit(origin: string): string {
  if (origin === 'string') return ' character';
  return origin === 'array' ? ' item' : '';
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (value === null) return 'empty';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return isMap(value) ? 'a map' : 'a list';
}

/** The keys that the schema knows at `path`. */
function knownKeys(schema: unknown, path: Path): string[] {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) {
    return knownKeys(schema.unwrap(), path);
  }
  const [key, ...rest] = path;
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => knownKeys(option, path));
  if (schema instanceof z.ZodRecord) return knownKeys(schema.valueType, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  const shape: Readonly<Record<string, unknown>> = schema.shape;
  return key === undefined ? Object.keys(shape) : knownKeys(shape[String(key)], rest);
}

function oneLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}

function yamlHint(message: string): string {
  return message.includes('unique')
    ? 'remove one of the two'
    : 'look at the indentation, quotes and brackets';
}
