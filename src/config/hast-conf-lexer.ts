/** Words of hast.conf. @see protocols: hast section 1 (FreeBSD's sbin/hastd/token.l) */
import type { DiagnosticList, Position } from './diagnostics.ts';

export const KEYWORDS = [
  ...['control', 'pidfile', 'listen', 'replication', 'checksum', 'compression', 'timeout', 'exec'],
  ...['metaflush', 'resource', 'name', 'local', 'remote', 'source', 'on', 'off', 'fullsync', 'memsync'],
  ...['async', 'none', 'crc32', 'sha256', 'hole', 'lzf'],
] as const;

export interface Token extends Position {
  readonly kind: 'keyword' | 'number' | 'string' | '{' | '}' | 'end';
  readonly text: string;
  /** Characters that hast.conf does not know, skipped directly before this token, or ''. */
  readonly skipped: string;
}

const SPACE = /[ \t\r\n]/;
const WORD = /[a-zA-Z0-9.\-_/:[\]]+/y;

/**
 * Splits hast.conf into tokens. The last one is `end`. A character that no rule knows is
 * skipped, as hastd does (it prints it), with a warning.
 */
export function tokenize(text: string, diagnostics: DiagnosticList): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let lineStart = 0;
  let skipped = '';
  let offset = 0;
  const push = (kind: Token['kind'], word: string): void => {
    tokens.push({ kind, text: word, line, column: offset - lineStart + 1, skipped });
    skipped = '';
    offset += word.length;
  };
  while (offset < text.length) {
    const character = text.charAt(offset);
    WORD.lastIndex = offset;
    const word = WORD.exec(text)?.[0];
    if (word !== undefined) {
      push(wordKind(word), word);
    } else if (character === '{' || character === '}') {
      push(character, character);
    } else if (character === '#') {
      const end = text.indexOf('\n', offset);
      offset = end < 0 ? text.length : end;
    } else if (SPACE.test(character)) {
      offset++;
      skipped = '';
      if (character === '\n') {
        line++;
        lineStart = offset;
      }
    } else {
      const symbol = String.fromCodePoint(text.codePointAt(offset) ?? 0);
      diagnostics.warning(
        { line, column: offset - lineStart + 1 },
        `character ${JSON.stringify(symbol)} has no meaning in hast.conf and is skipped`,
        'remove it; words are made of letters, digits and . - _ / : [ ] without quotes',
      );
      skipped += symbol;
      offset += symbol.length;
    }
  }
  push('end', '');
  return tokens;
}

function wordKind(word: string): Token['kind'] {
  if ((KEYWORDS as readonly string[]).includes(word)) return 'keyword';
  return /^\d+$/.test(word) ? 'number' : 'string';
}
