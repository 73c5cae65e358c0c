/**
 * The grammar of hast.conf, exactly FreeBSD's: what hastd takes is taken, what it calls a
 * syntax error is one. @see protocols: hast section 1 (FreeBSD's sbin/hastd/parse.y)
 */
import { ConfigFileError, DiagnosticList } from './diagnostics.ts';
import type { Diagnostic, Position } from './diagnostics.ts';
import { tokenize } from './hast-conf-lexer.ts';
import type { Token } from './hast-conf-lexer.ts';
import { didYouMean } from './nearest.ts';

/** `keyword value`, where the keyword stands and where the value stands. */
export interface Statement {
  readonly keyword: string;
  readonly value: string;
  readonly at: Position;
  readonly valueAt: Position;
}

export interface NodeSection {
  readonly name: string;
  readonly at: Position;
  readonly statements: readonly Statement[];
}

export interface ResourceSection extends NodeSection {
  readonly nodes: readonly NodeSection[];
}

export interface HastConfTree {
  readonly file: string;
  readonly statements: readonly Statement[];
  readonly nodes: readonly NodeSection[];
  readonly resources: readonly ResourceSection[];
  readonly warnings: readonly Diagnostic[];
}

type ValueKind = 'string' | 'number' | readonly string[];

const VALUES: Readonly<Record<string, ValueKind>> = {
  control: 'string',
  pidfile: 'string',
  listen: 'string',
  replication: ['fullsync', 'memsync', 'async'],
  checksum: ['none', 'crc32', 'sha256'],
  compression: ['none', 'hole', 'lzf'],
  timeout: 'number',
  exec: 'string',
  metaflush: ['on', 'off'],
  name: 'string',
  local: 'string',
  remote: 'string',
  source: 'string',
};

type Place = 'top' | 'node' | 'resource' | 'resource-node';

const PLACES: Readonly<Record<Place, { readonly words: readonly string[]; readonly text: string }>> = {
  top: {
    words: [
      ...['control', 'pidfile', 'listen', 'replication', 'checksum', 'compression', 'timeout', 'exec'],
      ...['metaflush', 'on', 'resource'],
    ],
    text: 'at the top level',
  },
  node: { words: ['control', 'pidfile', 'listen'], text: "in a top-level 'on' section" },
  resource: {
    words: [
      ...['replication', 'checksum', 'compression', 'timeout', 'exec', 'metaflush', 'name', 'local', 'on'],
    ],
    text: "in a 'resource' section",
  },
  'resource-node': {
    words: ['name', 'local', 'remote', 'source', 'metaflush'],
    text: "in a resource's 'on' section",
  },
};

/**
 * Reads the text of a hast.conf.
 * @param file name for messages
 * @throws ConfigFileError `config-invalid` at the first syntax error
 */
export function parseHastConf(text: string, file: string): HastConfTree {
  const diagnostics = new DiagnosticList(file);
  const parser = new Parser(tokenize(text, diagnostics), file);
  const body = parser.body('top', null);
  return { file, ...body, warnings: diagnostics.warnings };
}

interface Body {
  readonly statements: Statement[];
  readonly nodes: NodeSection[];
  readonly resources: ResourceSection[];
}

class Parser {
  private readonly tokens: readonly Token[];
  private readonly file: string;
  private index = 0;

  constructor(tokens: readonly Token[], file: string) {
    this.tokens = tokens;
    this.file = file;
  }

  /** Everything up to the closing brace of `opened`, or up to the end of the file. */
  body(place: Place, opened: { token: Token; what: string } | null): Body {
    const body: Body = { statements: [], nodes: [], resources: [] };
    for (;;) {
      const token = this.next();
      if (token.kind === 'end') {
        if (opened === null) return body;
        const { line, column } = opened.token;
        return this.fail(
          token,
          `the file ends inside ${opened.what}`,
          `close the '{' of ${line}:${column} with '}'`,
        );
      }
      if (token.kind === '}') {
        if (opened !== null) return body;
        return this.fail(token, "'}' closes nothing", 'remove it, or look for a missing line above');
      }
      if (token.kind !== 'keyword' || !PLACES[place].words.includes(token.text)) this.misplaced(token, place);
      if (token.text === 'on') {
        body.nodes.push(this.section(token, place === 'top' ? 'node' : 'resource-node', 'node'));
      } else if (token.text === 'resource') {
        body.resources.push(this.section(token, 'resource', 'resource'));
      } else {
        body.statements.push(this.statement(token));
      }
    }
  }

  private section(keyword: Token, place: Place, noun: string): ResourceSection {
    const name = this.word(`the name of a ${noun}`, keyword);
    const brace = this.next();
    const what = `section '${keyword.text} ${name.text}'`;
    if (brace.kind !== '{')
      return this.fail(brace, `${what} does not start with '{'`, "write '{' after the name");
    const { statements, nodes } = this.body(place, { token: brace, what });
    return { name: name.text, at: position(name), statements, nodes };
  }

  private statement(keyword: Token): Statement {
    const kind = VALUES[keyword.text] ?? 'string';
    const value = kind === 'string' ? this.word(`'${keyword.text}'`, keyword) : this.choice(keyword, kind);
    return { keyword: keyword.text, value: value.text, at: position(keyword), valueAt: position(value) };
  }

  private choice(keyword: Token, kind: 'number' | readonly string[]): Token {
    const token = this.next();
    if (kind === 'number') {
      if (token.kind === 'number') return token;
      return this.fail(token, `'${keyword.text}' wants a number of seconds`, 'e.g. timeout 20');
    }
    if (token.kind === 'keyword' && kind.includes(token.text)) return token;
    const hint = token.kind === 'string' ? didYouMean(token.text, kind) : `write one of ${kind.join(', ')}`;
    return this.fail(token, `'${keyword.text}' cannot be ${shown(token)}`, hint);
  }

  /** A word that is free to choose: no keyword, not only digits. */
  private word(purpose: string, keyword: Token): Token {
    const token = this.next();
    if (token.kind === 'string') return token;
    if (keyword.text === 'remote' && token.text === 'none') return token;
    if (token.kind === 'keyword') {
      const hint = `write another word, e.g. '${token.text}0' or, for a path, '/${token.text}'`;
      return this.fail(token, `${purpose} cannot be '${token.text}', which is a keyword of hast.conf`, hint);
    }
    if (token.kind === 'number') {
      const hint = `put something else than a digit into it, e.g. 'disk${token.text}'`;
      return this.fail(token, `${purpose} cannot be '${token.text}', which has only digits`, hint);
    }
    return this.fail(
      token,
      `${purpose} is missing before ${shown(token)}`,
      `write it after '${keyword.text}'`,
    );
  }

  private misplaced(token: Token, place: Place): never {
    const { words, text } = PLACES[place];
    const allowed = `allowed ${text}: ${words.join(', ')}`;
    if (token.kind !== 'keyword') {
      const hint = token.kind === 'string' ? didYouMean(token.text, words) : allowed;
      return this.fail(token, `${shown(token)} is no keyword that can stand ${text}`, hint);
    }
    const homes = Object.values(PLACES).filter((home) => home.words.includes(token.text));
    const hint = homes.length === 0 ? allowed : `it belongs ${homes.map((home) => home.text).join(' or ')}`;
    return this.fail(token, `'${token.text}' cannot stand ${text}`, hint);
  }

  private next(): Token {
    const token = this.tokens[Math.min(this.index, this.tokens.length - 1)];
    if (token === undefined) throw new TypeError('a token list ends with `end`');
    this.index++;
    return token;
  }

  private fail(token: Token, message: string, hint: string): never {
    const { line, column, skipped } = token;
    const why = skipped === '' ? '' : ` (${JSON.stringify(skipped)} before it ended the word)`;
    throw new ConfigFileError('config-invalid', [
      { file: this.file, line, column, message: message + why, hint, severity: 'error' },
    ]);
  }
}

function position(token: Token): Position {
  return { line: token.line, column: token.column };
}

function shown(token: Token): string {
  return token.kind === 'end' ? 'the end of the file' : `'${token.text}'`;
}
