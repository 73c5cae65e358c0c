import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';

import {
  cutTo,
  jsonLine,
  journaldLine,
  type LogLine,
  textLine,
} from '../../../../src/daemon/logging/line.ts';
import { syslogLine } from '../../../../src/daemon/logging/syslog-line.ts';
import type { SyslogSettings } from '../../../../src/model/settings.ts';

const TIME = new Date('2026-03-05T09:03:07.123Z');
const SENDER = { hostname: 'box.example.org', pid: 42 };
const LOCAL: SyslogSettings = {
  facility: 'local0',
  severity: null,
  tag: 'carp-hast',
  to: { kind: 'local', path: null },
};
const UDP: SyslogSettings = { ...LOCAL, to: { kind: 'udp', host: '127.0.0.1', port: 514 } };

function line(level: LogLine['level'], message: string): LogLine {
  return { level, message, time: TIME };
}

describe('a line of the log', () => {
  it('tells time, node, level and message on standard error', () => {
    expect(textLine(line('warn', 'disk1: slow'), 'hasta')).toBe(
      '2026-03-05T09:03:07.123Z hasta warn: disk1: slow',
    );
  });

  it('is one JSON object where that is asked for', () => {
    expect(JSON.parse(jsonLine(line('info', 'a\n"b"'), 'hasta'))).toEqual({
      time: '2026-03-05T09:03:07.123Z',
      node: 'hasta',
      pid: process.pid,
      level: 'info',
      message: 'a\n"b"',
    });
  });

  it.each([
    ['error', '<3>x'],
    ['warn', '<4>x'],
    ['info', '<6>x'],
    ['debug', '<7>x'],
    ['trace', '<7>x'],
  ] as const)('gives journald the severity of %s', (level, text) => {
    expect(journaldLine(line(level, 'x'))).toBe(text);
  });

  it('stays one line, and moves no cursor, whatever a peer said', () => {
    const said = 'no\n2026 hasta info: all is well\r\t\u001b[2J\u0000\u2028\u0085';
    const text = textLine(line('info', said), 'hasta');
    expect(text).toContain('no\\n2026 hasta info: all is well\\r\\t\\u001b[2J\\u0000\\u2028\\u0085');
    expect(text).not.toMatch(/[\p{Cc}\p{Zl}]/u);
    expect(syslogLine(line('info', said), UDP, SENDER)).not.toMatch(/[\p{Cc}\p{Zl}]/u);
  });
});

describe('a line for syslog', () => {
  it('is what syslog(3) writes to the local socket', () => {
    const text = syslogLine(line('info', 'role primary'), LOCAL, SENDER);
    expect(text).toMatch(/^<134>Mar {2}5 \d\d:03:07 carp-hast\[42\]: role primary$/);
  });

  it('is RFC 5424 for the network', () => {
    expect(syslogLine(line('error', 'gone'), UDP, SENDER)).toBe(
      '<131>1 2026-03-05T09:03:07.123Z box.example.org carp-hast 42 - - gone',
    );
  });

  it.each([
    ['local0', 7, '<135>'],
    ['daemon', null, '<27>'],
    ['kern', 0, '<0>'],
    ['local7', 7, '<191>'],
  ] as const)('has facility %s and severity %s in its number', (facility, severity, priority) => {
    const text = syslogLine(line('error', 'x'), { ...LOCAL, facility, severity }, SENDER);
    expect(text.startsWith(priority)).toBe(true);
  });

  it('has a host name of printable letters, or none', () => {
    expect(syslogLine(line('info', 'x'), UDP, { hostname: 'a b\u00e9', pid: 1 })).toContain(' ab carp-hast ');
    expect(syslogLine(line('info', 'x'), UDP, { hostname: ' ', pid: 1 })).toContain('Z - carp-hast ');
  });

  it('fits into a datagram, cut between two characters', () => {
    const text = syslogLine(line('info', '\u00e9'.repeat(5000)), UDP, SENDER);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(2048);
    expect(text.endsWith('\u00e9…')).toBe(true);
    for (let room = 3; room < 12; room++)
      expect(cutTo('a\u00e9\u{1f600}bcdefghi', room)).not.toContain('\ufffd');
  });
});
