/** The optional `raw-socket` package, loaded when first asked for. Only what is used is typed. */
import { createRequire } from 'node:module';

import { NetError } from '../model/errors.ts';

export interface RawSocketHandle {
  on(event: 'message', listener: (packet: Buffer, source: string) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'close', listener: () => void): this;
  setOption(level: number, option: number, value: Buffer, length: number): void;
  close(): void;
  /** Sends synchronously and throws the error's text; `send` of the package waits for a writable turn. */
  readonly wrap: {
    send(packet: Buffer, offset: number, length: number, address: string, done: () => void): void;
  };
}

export interface RawSocketModule {
  createSocket(options: { protocol: number; addressFamily: number; bufferSize: number }): RawSocketHandle;
  readonly AddressFamily: { readonly IPv4: number };
}

/** @throws NetError `raw-socket-missing` */
export function loadRawSocket(): RawSocketModule {
  try {
    return createRequire(import.meta.url)('raw-socket') as RawSocketModule;
  } catch (cause) {
    throw new NetError(
      'raw-socket-missing',
      'the optional package raw-socket is not installed or was built for another Node; reinstall to build it',
      { cause },
    );
  }
}
