import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../../src/keeper/line-splitter.ts';
import { parseFromKeeper, parseToKeeper } from '../../../src/keeper/messages.ts';

describe('messages to the keeper', () => {
  it.each([
    { beat: true },
    { bye: true },
    { set: [] },
    {
      set: [
        { kind: 'run', argv: ['ip', 'address', 'del', '10.0.0.1/24', 'dev', 'eth0'] },
        { kind: 'abort-fuse', minor: 39, mountPoint: '/state/device/disk1/mnt' },
        { kind: 'abort-fuse', minor: 39 },
        { kind: 'kill', pid: 4711, startTime: '123456' },
        { kind: 'detach-loop', device: '/dev/loop0', backingFile: '/state/device/disk1/mnt/nbd' },
        { kind: 'detach-loop', device: '/dev/loop0' },
      ],
    },
  ])('%j is understood', (message) => {
    expect(parseToKeeper(JSON.stringify(message))).toEqual(message);
  });

  it.each([
    '',
    'null',
    '[]',
    '{',
    '{"beat":false}',
    '{"set":{}}',
    '{"set":[{"kind":"format","device":"/dev/sda"}]}',
    '{"set":[{"kind":"run","argv":[]}]}',
    '{"set":[{"kind":"run","argv":["ip",1]}]}',
    '{"set":[{"kind":"kill","pid":0,"startTime":"1"}]}',
    '{"set":[{"kind":"kill","pid":1,"startTime":"1"}]}',
    '{"set":[{"kind":"kill","pid":-5,"startTime":"1"}]}',
    '{"set":[{"kind":"kill","pid":5}]}',
    '{"set":[{"kind":"abort-fuse","minor":"39"}]}',
    '{"set":[{"kind":"abort-fuse","minor":-1}]}',
    '{"set":[{"kind":"detach-loop","device":7}]}',
    '{"set":[null]}',
  ])('%s is no message', (line) => {
    expect(parseToKeeper(line)).toBeNull();
  });

  it('any text is a message or none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        parseToKeeper(text);
        parseFromKeeper(text);
      }),
    );
  });

  it('a report is understood', () => {
    expect(parseFromKeeper('{"cleaned":true,"failed":2}')).toEqual({ cleaned: true, failed: 2 });
    expect(parseFromKeeper('{"cleaned":true}')).toBeNull();
    expect(parseFromKeeper('{"ready":true}')).toEqual({ ready: true });
  });
});

describe('lines', () => {
  it('come out the same however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{0,5}$/)), fc.array(fc.nat(40)), (lines, cuts) => {
        const text = lines.map((line) => `${line}\n`).join('');
        const found: string[] = [];
        const splitter = new LineSplitter(100, (line) => found.push(line));
        let at = 0;
        for (const cut of [...cuts, text.length]) {
          splitter.take(text.slice(at, at + cut));
          at += cut;
        }
        splitter.take(text.slice(at));
        expect(found).toEqual(lines);
      }),
    );
  });

  it('that are too long become empty, and the next is whole again', () => {
    const found: string[] = [];
    const splitter = new LineSplitter(4, (line) => found.push(line));
    for (const piece of ['abc', 'def', 'ghi\nok\n', 'toolong\n', 'fine\n']) splitter.take(piece);
    expect(found).toEqual(['', 'ok', '', 'fine']);
  });
});
