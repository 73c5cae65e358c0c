/** Reads from the peer's disk what ours does not have. */
import type { Buffer } from 'node:buffer';
import { HAST_CMD } from '../protocol/hast-message.ts';
import type { Link } from './link.ts';

/** Fills `into`; without a link that is EIO. `done` gets the first error, once every part has ended. */
export function readRemote(
  link: Link | null,
  offset: number,
  into: Buffer,
  done: (error: string | null) => void,
): void {
  if (link === null) {
    done('EIO');
    return;
  }
  const { maxRequest } = link;
  let parts = Math.ceil(into.length / maxRequest);
  let failure: string | null = null;
  const finished = (error: string | null): void => {
    failure ??= error;
    if (--parts === 0) done(failure);
  };
  for (let at = 0; at < into.length; at += maxRequest) {
    const length = Math.min(maxRequest, into.length - at);
    link.request(HAST_CMD.READ, offset + at, length, null, false, {
      received: () => undefined,
      lost: () => finished('EIO'),
      answered: (error, data) => {
        if (error === null && data !== null) data.copy(into, at);
        finished(error ?? (data === null ? 'EIO' : null));
      },
    });
  }
}
