/** What the daemon and the keeper say to each other: one JSON object per line. */
import { isCleanupAction, type CleanupAction } from '../device/cleanup.ts';

export type ToKeeper =
  /** The daemon lives. */
  | { readonly beat: true }
  /** Replaces the whole list. */
  | { readonly set: readonly CleanupAction[] }
  /** A clean end: there is nothing to do. */
  | { readonly bye: true };

/** After a stall. The daemon that reads this has lost its address and devices. */
export interface CleanedReport {
  readonly cleaned: true;
  /** Actions that could not be performed. */
  readonly failed: number;
}

export type FromKeeper =
  /** It listens, and no polite signal ends it any more. */
  { readonly ready: true } | CleanedReport;

/** A list of this size would be thousands of actions. */
export const MAX_LINE_CHARACTERS = 1024 * 1024;

/** Null for anything else: half a list must never replace a whole one. */
export function parseToKeeper(line: string): ToKeeper | null {
  const message = parseObject(line);
  if (message === null) return null;
  if (message['beat'] === true) return { beat: true };
  if (message['bye'] === true) return { bye: true };
  const set = message['set'];
  return Array.isArray(set) && set.every(isCleanupAction) ? { set } : null;
}

export function parseFromKeeper(line: string): FromKeeper | null {
  const message = parseObject(line);
  if (message?.['ready'] === true) return { ready: true };
  const failed = message?.['failed'];
  return message?.['cleaned'] === true && typeof failed === 'number' ? { cleaned: true, failed } : null;
}

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
