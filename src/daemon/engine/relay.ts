/**
 * Carries a connection from the main thread to an engine's thread through a MessagePort, where the
 * socket itself cannot be handed over. At most a window of bytes is under way in each direction.
 */
import type { Socket } from 'node:net';
import { Duplex, pipeline } from 'node:stream';
import type { MessagePort } from 'node:worker_threads';
import { quiet } from './quiet.ts';

const WINDOW_BYTES = 1024 * 1024;
const SETTLE_LIMIT_MS = 2000;

type RelayMessage =
  | { readonly type: 'data'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'taken'; readonly bytes: number }
  | { readonly type: 'end' }
  /** Hand over what you have, then answer `settled`. */
  | { readonly type: 'settle' }
  | { readonly type: 'settled' };

/** Both ends of a relay use one. */
export class PortStream extends Duplex {
  readonly #port: MessagePort;
  readonly #onSettle: () => Promise<void>;
  #underWay = 0;
  #untold = 0;
  #waiting: (() => void) | null = null;
  readonly #settled: (() => void)[] = [];

  /** Takes over the port. @param onSettle what to do when the other end asks to settle */
  constructor(port: MessagePort, onSettle: () => Promise<void> = () => Promise.resolve()) {
    super({ allowHalfOpen: true });
    this.#port = port;
    this.#onSettle = onSettle;
    port.on('message', (message: RelayMessage) => this.#take(message));
    port.on('close', () => this.destroy());
  }

  /** Resolves when all that the other end had was delivered here. */
  settle(): Promise<void> {
    return new Promise((resolve) => {
      this.#settled.push(resolve);
      this.#post({ type: 'settle' });
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    // A copy of its own, so that it can be given away without copying again.
    const bytes = new Uint8Array(chunk);
    this.#underWay += bytes.length;
    this.#post({ type: 'data', bytes }, [bytes.buffer]);
    if (this.#underWay < WINDOW_BYTES) done();
    else this.#waiting = done;
  }

  override _read(): void {
    if (this.#untold === 0) return;
    this.#post({ type: 'taken', bytes: this.#untold });
    this.#untold = 0;
  }

  override _final(done: () => void): void {
    this.#post({ type: 'end' });
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#port.close();
    for (const resolve of this.#settled.splice(0)) resolve();
    done(error);
  }

  #post(message: RelayMessage, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  #take(message: RelayMessage): void {
    switch (message.type) {
      case 'data':
        this.#untold += message.bytes.length;
        this.push(Buffer.from(message.bytes.buffer));
        return;
      case 'taken': {
        this.#underWay -= message.bytes;
        const done = this.#waiting;
        if (done === null || this.#underWay >= WINDOW_BYTES) return;
        this.#waiting = null;
        done();
        return;
      }
      case 'end':
        this.push(null);
        return;
      case 'settle':
        void this.#onSettle().then(() => this.#post({ type: 'settled' }));
        return;
      case 'settled':
        this.#settled.shift()?.();
    }
  }
}

/** Main thread: takes over the socket, whose reading has stopped, and the port. @param head is sent on before all else */
export function relay(socket: Socket, port: MessagePort, head: Uint8Array | null = null): void {
  let received = 0;
  const stream: PortStream = new PortStream(port, () => {
    const limit = performance.now() + SETTLE_LIMIT_MS;
    return quiet(
      () => received,
      () => socket.destroyed || stream.destroyed || performance.now() > limit,
      () => stream.writableNeedDrain,
    );
  });
  socket.on('data', (chunk: Buffer) => (received += chunk.length));
  if (head !== null) stream.write(head);
  // Either end's failure closes both; its reason is the other's to tell.
  pipeline(socket, stream, () => undefined);
  pipeline(stream, socket, () => undefined);
}
