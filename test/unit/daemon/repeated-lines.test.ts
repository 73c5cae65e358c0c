import { beforeEach, describe, expect, it } from 'vitest';

import { RepeatedLines } from '../../../src/daemon/repeated-lines.ts';

describe('lines that strangers make us say', () => {
  let said: string[];
  let now: number;
  let lines: RepeatedLines;
  beforeEach(() => {
    said = [];
    now = 0;
    lines = new RepeatedLines(
      (level, text) => said.push(`${level}: ${text}`),
      () => now,
    );
  });

  it('are said once a minute for each cause, with how often it happened', () => {
    for (let version = 3; version < 103; version += 1)
      lines.say('warn', `10.0.0.1 speaks version ${version}`);
    lines.say('warn', 'it closed before its first frame');
    expect(said).toEqual(['warn: 10.0.0.1 speaks version 3', 'warn: it closed before its first frame']);
    now = 60_000;
    lines.say('warn', '10.0.0.1 speaks version 7');
    expect(said.at(-1)).toBe('warn: 10.0.0.1 speaks version 7 (and 99 more of this kind)');
  });

  it('have the same cause when they differ in what was quoted', () => {
    lines.say('warn', 'there is no resource "a"');
    lines.say('warn', 'there is no resource "b"');
    expect(said).toHaveLength(1);
  });

  it('share one line when there are too many causes', () => {
    for (const word of wordsOf(200)) lines.say('warn', word);
    expect(said).toHaveLength(33);
  });
});

function wordsOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => 'x'.repeat(index + 1));
}
