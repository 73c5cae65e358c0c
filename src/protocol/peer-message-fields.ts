/**
 * Readers of one field of a peer message: each returns the value with its type, or throws
 * WireError `peer-message-field` that names the field by its path and what was expected there.
 */
import { WireError } from '../model/errors.ts';

function wrong(field: string, expected: string): WireError {
  return new WireError(
    'peer-message-field',
    0,
    field,
    `a message of the peer has no valid ${field}: expected ${expected}`,
  );
}

export function object(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(field, 'an object');
  return value as Readonly<Record<string, unknown>>;
}

export function text(value: unknown, field: string, limit: number): string {
  if (typeof value !== 'string' || value.length > limit)
    throw wrong(field, `a text of at most ${limit} characters`);
  return value;
}

/** A name: 1 to 255 characters, none of which could forge a line of a log. */
export function shortText(value: unknown, field: string): string {
  if (typeof value !== 'string' || !/^[^\p{Cc}]{1,255}$/u.test(value)) throw wrong(field, 'a name');
  return value;
}

/** 16 hex digits. */
export function hexId(value: unknown, field: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{16}$/.test(value)) throw wrong(field, '16 hex digits');
  return value;
}

export function count(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(field, 'a count');
  return value;
}

export function finite(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(field, 'a number');
  return value;
}

export function flag(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw wrong(field, 'true or false');
  return value;
}

export function oneOf<const Word extends string>(
  value: unknown,
  field: string,
  words: readonly Word[],
): Word {
  const found = words.find((word) => word === value);
  if (found === undefined) throw wrong(field, `one of ${words.join(', ')}`);
  return found;
}

export function list<Item>(
  value: unknown,
  field: string,
  limit: number,
  read: (item: unknown, field: string) => Item,
): readonly Item[] {
  if (!Array.isArray(value) || value.length > limit) throw wrong(field, `a list of at most ${limit}`);
  return value.map((item: unknown, index) => read(item, `${field}[${index}]`));
}

export function orNull<Item>(
  value: unknown,
  field: string,
  read: (value: unknown, field: string) => Item,
): Item | null {
  return value === null ? null : read(value, field);
}
