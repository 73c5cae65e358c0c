/** One line of hastate's control protocol, as a client sends it. Which commands there are is not judged here. */
import { WireError } from '../model/errors.ts';
import type { ControlCommand, ControlRequest } from './control.ts';

/** @throws WireError `control-request` with a sentence for the client */
export function decodeControlRequest(line: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw bad('line', 'a request is one JSON object in one line; this is no JSON');
  }
  if (typeof value !== 'object' || value === null) throw bad('line', 'a request is a JSON object');
  const { id, command, args } = value as Partial<Record<string, unknown>>;
  if (typeof id !== 'number' || !Number.isSafeInteger(id))
    throw bad('id', "a request has a whole number 'id'");
  if (typeof command !== 'string') throw bad('command', "a request has a 'command'");
  if (args !== undefined && (typeof args !== 'object' || args === null || Array.isArray(args)))
    throw bad('args', "'args' of a request is an object");
  // Which commands there are is asked after the id is known, so that the answer can carry it.
  return { id, command: command as ControlCommand, args: { ...args } };
}

function bad(field: string, message: string): WireError {
  return new WireError('control-request', 0, field, message);
}
