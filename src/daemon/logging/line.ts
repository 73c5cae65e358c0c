/** One thing that happened, as one line of text in the shapes that its readers want. Pure. */
import { Buffer } from 'node:buffer';

import type { SyslogFacility } from '../../model/settings.ts';

export const LEVELS = { error: 0, warn: 1, info: 2, debug: 3, trace: 4 } as const;
export type LogLevel = keyof typeof LEVELS;

/** What one line says, before it has a shape. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly time: Date;
}

/** syslog's numbers. @see RFC 5424 section 6.2.1 */
export const SEVERITIES = { error: 3, warn: 4, info: 6, debug: 7, trace: 7 } as const;

// Numbers and names of FreeBSD's and Linux' syslog(3).
export const FACILITIES = {
  kern: 0,
  user: 1,
  mail: 2,
  daemon: 3,
  auth: 4,
  syslog: 5,
  lpr: 6,
  news: 7,
  uucp: 8,
  cron: 9,
  authpriv: 10,
  ftp: 11,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
} as const satisfies Readonly<Record<SyslogFacility, number>>;

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A peer's words must not look like a line of ours, nor move a terminal's cursor. */
export function oneLine(message: string): string {
  return message.replace(
    /[\p{Cc}\p{Zl}\p{Zp}]/gu,
    (character) =>
      ESCAPES[character] ?? `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

export function textLine(line: LogLine, node: string): string {
  return `${line.time.toISOString()} ${node} ${line.level}: ${oneLine(line.message)}`;
}

/** journald reads the severity in front and knows the rest. @see sd-daemon(3) */
export function journaldLine(line: LogLine): string {
  return `<${SEVERITIES[line.level]}>${oneLine(line.message)}`;
}

export function jsonLine(line: LogLine, node: string): string {
  const { level, message, time } = line;
  return JSON.stringify({ time: time.toISOString(), node, pid: process.pid, level, message });
}

/** The longest beginning of `text` of at most `maxBytes` bytes; `…` stands for the rest. */
export function cutTo(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const room = maxBytes - Buffer.byteLength('…');
  // A character that is cut in two decodes to U+FFFD.
  return `${Buffer.from(text)
    .subarray(0, room)
    .toString('utf8')
    .replace(/\ufffd+$/, '')}…`;
}
