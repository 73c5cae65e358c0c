/**
 * The comment by which a hook tells its limits, in its first 20 lines:
 * `# hastate: timeout=120s retries=2 retry-delay=1s grace=5s verbs=start,stop,status,rehearse`
 */
import { HookError } from '../model/errors.ts';
import type { KnownVerb } from '../model/hook.ts';

/** Times in ms. */
export interface HookHeader {
  readonly timeoutMs: number;
  readonly graceMs: number;
  readonly retries: number;
  readonly retryDelayMs: number;
  readonly verbs: readonly KnownVerb[];
  /** The hook says itself what it knows: only then is it asked for `status` again and again. */
  readonly declared: boolean;
}

export const DEFAULT_HEADER: HookHeader = {
  timeoutMs: 60_000,
  graceMs: 5_000,
  retries: 2,
  retryDelayMs: 1_000,
  verbs: ['start', 'stop', 'status'],
  declared: false,
};

export const HEADER_LINES = 20;
const MAX_TIME_MS = 24 * 3_600_000;
const MAX_RETRIES = 100;
const UNITS = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
]);
const VERBS: readonly KnownVerb[] = ['start', 'stop', 'status', 'rehearse'];

/** @throws HookError `hook-header` when a word of the header is unknown or has a wrong value */
export function parseHeader(text: string): HookHeader {
  const header: { -readonly [Key in keyof HookHeader]: HookHeader[Key] } = { ...DEFAULT_HEADER };
  for (const line of text.split('\n', HEADER_LINES)) {
    const words = /^\s*(?:#|\/\/)\s*hastate:(.*)$/.exec(line)?.[1];
    for (const word of words?.split(/\s+/).filter((each) => each !== '') ?? []) {
      const [, key = '', value = ''] = /^([^=]*)=(.*)$/.exec(word) ?? [];
      if (key === 'timeout') header.timeoutMs = time(word, value);
      else if (key === 'grace') header.graceMs = time(word, value);
      else if (key === 'retry-delay') header.retryDelayMs = time(word, value);
      else if (key === 'retries') header.retries = count(word, value);
      else if (key === 'verbs') {
        header.verbs = verbs(word, value);
        header.declared = true;
      } else throw wrong(word, 'timeout, grace, retries, retry-delay and verbs are known');
    }
  }
  return header;
}

function time(word: string, value: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})(ms|s|m|h)$/.exec(value) ?? [];
  const ms = Number(digits) * (UNITS.get(unit) ?? 0);
  if (ms < 1 || ms > MAX_TIME_MS) throw wrong(word, 'write a time of at most 24h with its unit, e.g. 120s');
  return ms;
}

function count(word: string, value: string): number {
  if (!/^\d{1,3}$/.test(value) || Number(value) > MAX_RETRIES)
    throw wrong(word, `write a number from 0 to ${MAX_RETRIES}`);
  return Number(value);
}

function verbs(word: string, value: string): readonly KnownVerb[] {
  return value.split(',').map((each) => {
    const verb = VERBS.find((known) => known === each);
    if (verb === undefined) throw wrong(word, `the verbs are ${VERBS.join(', ')}`);
    return verb;
  });
}

function wrong(word: string, remedy: string): HookError {
  return new HookError('hook-header', `its header says '${word}': ${remedy}`);
}
