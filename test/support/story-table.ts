/** Figures of the stories, for the table that `npm run test:e2e` prints. Never judged by a test. */
import { appendFileSync } from 'node:fs';

export interface Figure {
  readonly story: string;
  readonly what: string;
  /** ms, or a count where `unit` says so */
  readonly value: number;
  readonly unit?: 'ms' | '';
  /** At most; `>=` where more is better. */
  readonly goal?: number;
  readonly beside?: string;
}

/** The long run: `npm run test:e2e`. */
export const LONG = process.env['HASTATE_STORIES'] !== undefined;

/** For one test: it ends by itself long before. ms */
export const STORY_MS = LONG ? 900_000 : 180_000;

/** Of a few figures the middle one. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

export function note(...figures: readonly Figure[]): void {
  const file = process.env['HASTATE_STORIES'];
  if (file !== undefined) appendFileSync(file, figures.map((one) => `${JSON.stringify(one)}\n`).join(''));
}
