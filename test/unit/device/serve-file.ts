/** A process of its own that exports a file, so that a test can stop or kill it. Arguments: socket, file. */
import { closeSync, fdatasyncSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { createNbdServer } from '../../../src/device/nbd-server.ts';

const [socketPath = '', file = ''] = process.argv.slice(2);
const fd = openSync(file, 'r+');
await createNbdServer({
  socketPath,
  exportName: 'disk1',
  epoch: { number: 7, id: '00000000000000aa' },
  device: {
    sizeBytes: fstatSync(fd).size,
    sectorBytes: 512,
    maxRequestBytes: 1024 * 1024,
    pendingBytes: 0,
    read(offset, length, done) {
      const data = Buffer.alloc(length);
      readSync(fd, data, 0, length, offset);
      done(null, data);
    },
    write(offset, data, fua, done) {
      writeSync(fd, data, 0, data.length, offset);
      if (fua) fdatasyncSync(fd);
      done(null);
    },
    discards: true,
    zero(offset, length, { fua }, done) {
      writeSync(fd, Buffer.alloc(length), 0, length, offset);
      if (fua) fdatasyncSync(fd);
      done(null);
    },
    discard: (_offset, _length, _fua, done) => done(null),
    flush(done) {
      fdatasyncSync(fd);
      done(null);
    },
  },
});
process.stdout.write('ready\n');
process.on('SIGTERM', () => {
  closeSync(fd);
  process.exit(0);
});
