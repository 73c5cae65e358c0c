/** A unix datagram socket to receive on, as a syslog daemon has it. Node has none: through koffi. */
import { createRequire } from 'node:module';
import { rmSync } from 'node:fs';

const require = createRequire(import.meta.url);

interface Koffi {
  load(path: null): { func(prototype: string): (...args: unknown[]) => unknown };
}

export interface DatagramReceiver {
  /** What arrived since the last call. */
  take(): string[];
  /** Closes it and removes the path. */
  close(): void;
}

/** Linux only. */
export function receiveDatagrams(path: string): DatagramReceiver {
  const library = (require('koffi') as Koffi).load(null);
  const recv = library.func('long recv(int, void *, size_t, int)');
  const close = library.func('int close(int)');
  const fd = Number(library.func('int socket(int, int, int)')(1, 2 | 0o2004000, 0));
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1, 0);
  address.write(path, 2);
  if (library.func('int bind(int, void *, unsigned int)')(fd, address, address.length) !== 0)
    throw new Error(`cannot bind ${path}`);
  return {
    take() {
      const taken: string[] = [];
      const buffer = Buffer.alloc(65_536);
      for (;;) {
        const length = Number(recv(fd, buffer, buffer.length, 0));
        if (length < 0) return taken;
        taken.push(buffer.toString('utf8', 0, length));
      }
    },
    close() {
      close(fd);
      rmSync(path, { force: true });
    },
  };
}
