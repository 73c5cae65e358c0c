import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sidecarFile } from '../../../../src/daemon/engine/sidecar-file.ts';

let stateDir: string;
beforeEach(() => (stateDir = mkdtempSync(join(tmpdir(), 'hastate-sidecar-'))));
afterEach(() => rmSync(stateDir, { recursive: true }));

describe('sidecar file', () => {
  it('gives back what was stored, null before', async () => {
    const sidecar = sidecarFile(stateDir, 'disk1');
    expect(await sidecar.load()).toBeNull();
    await sidecar.store(Buffer.from('one'));
    await sidecar.store(Buffer.from('two'));
    expect((await sidecarFile(stateDir, 'disk1').load())?.toString()).toBe('two');
    const file = join(stateDir, 'resources', 'disk1.meta');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('keeps the last of several stored at once and leaves no other file', async () => {
    const sidecar = sidecarFile(stateDir, 'disk1');
    await Promise.all(Array.from({ length: 20 }, (_, i) => sidecar.store(Buffer.from(`number ${i}`))));
    expect((await sidecar.load())?.toString()).toBe('number 19');
    expect(readdirSync(join(stateDir, 'resources'))).toEqual(['disk1.meta']);
  });

  it('stays inside its directory whatever the resource is called', async () => {
    await sidecarFile(stateDir, '../../up/disk').store(Buffer.from('x'));
    expect(readdirSync(stateDir)).toEqual(['resources']);
    expect((await sidecarFile(stateDir, '../../up/disk').load())?.toString()).toBe('x');
  });

  it('reports what it could not write, and the next store works again', async () => {
    const sidecar = sidecarFile(stateDir, 'disk1');
    const blocker = join(stateDir, 'resources');
    writeFileSync(blocker, 'a file where the directory should be');
    chmodSync(blocker, 0o600);
    await expect(sidecar.store(Buffer.from('x'))).rejects.toMatchObject({ code: 'sidecar-write' });
    rmSync(blocker);
    await sidecar.store(Buffer.from('y'));
    expect((await sidecar.load())?.toString()).toBe('y');
  });
});
