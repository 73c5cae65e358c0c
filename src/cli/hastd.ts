/** Asks over the control socket in hastctl's protocol, which a hastd and a hastated answer. */
import { connect } from 'node:net';
import { ControlError, unreachable } from './client.ts';
import { describeError } from '../model/errors.ts';
import { FrameReader } from '../protocol/hast-frame.ts';
import { decodeHastctlReply, encodeHastctlRequest, HASTCTL_CMD } from '../protocol/hastctl.ts';
import type { HastctlReply, HastctlRequest } from '../protocol/hastctl.ts';

const CONNECT_MS = 5000;
const LIMITS = { maxNvBytes: 16 * 1024 * 1024, maxDataBytes: 1 };

/**
 * One request on a connection of its own.
 * @throws ControlError `control-unreachable`, `control-lost`, `control-timeout`, `control-reply`
 */
export function askHastd(path: string, request: HastctlRequest, timeoutMs: number): Promise<HastctlReply> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const reader = new FrameReader(LIMITS);
    let connected = false;
    const fail = (code: string, message: string, cause?: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new ControlError(code, message, { cause }));
    };
    let timer = setTimeout(
      () => fail('control-timeout', `no connection to ${path} in ${CONNECT_MS} ms`),
      CONNECT_MS,
    );
    socket.once('connect', () => {
      connected = true;
      clearTimeout(timer);
      timer = setTimeout(
        () => fail('control-timeout', `the daemon did not answer in ${timeoutMs} ms`),
        timeoutMs,
      );
      socket.write(encodeHastctlRequest(request));
    });
    socket.on('data', (chunk) => {
      try {
        const [frame] = reader.push(chunk);
        if (frame === undefined) return;
        const reply = decodeHastctlReply(
          frame.nv,
          request.cmd === HASTCTL_CMD.SETROLE ? 'setrole' : 'status',
        );
        clearTimeout(timer);
        socket.destroy();
        resolve(reply);
      } catch (cause) {
        fail('control-reply', `${path} answered what is no reply of hastd: ${describeError(cause)}`, cause);
      }
    });
    socket.once('error', (cause) => {
      if (connected)
        fail('control-lost', `the daemon at ${path} broke the connection: ${cause.message}`, cause);
      else fail('control-unreachable', unreachable(path, cause), cause);
    });
    socket.once('close', () =>
      fail('control-lost', `the daemon at ${path} ended the connection without an answer`),
    );
  });
}
