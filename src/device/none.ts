/** No device: hooks and clients use the NBD export itself. */
import type { DeviceDriver } from './attach.ts';

export function noneDriver(): DeviceDriver {
  return {
    kind: 'none',
    attach: (_options, signal) =>
      new Promise((resolve) => {
        signal.throwIfAborted();
        resolve({ path: null, cleanup: [] });
      }),
    detach: () => Promise.resolve([]),
    holders: () => Promise.resolve([]),
    leftovers: () => Promise.resolve([]),
  };
}
