/**
 * Copies what a transition is about to run, so that an edit of the hook directory reaches
 * the next transition and never the running one: a shell reads its script as it goes.
 */
import { access, constants, copyFile, mkdir, readdir, rm, chmod } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { HookError, describeError } from '../model/errors.ts';
import type { HookStep } from '../model/hook.ts';
import { trustedExecutable, trustedPath } from './trust.ts';

/**
 * Returns the steps with paths below `into`, which is emptied first and belongs to the caller; it
 * must be a private directory. Each hook is checked again and copied with the `*.sh` beside it.
 * Where copies cannot be executed (a `noexec` file system) a step keeps its own path.
 * @throws HookError when a hook is no longer trusted or cannot be copied
 */
export async function pinHooks(
  steps: readonly HookStep[],
  into: string,
  uid: number = process.geteuid?.() ?? 0,
): Promise<HookStep[]> {
  try {
    await rm(into, { recursive: true, force: true });
    await mkdir(into, { recursive: true, mode: 0o700 });
    return await Promise.all(steps.map((step) => pinHook(step, join(into, step.name), uid)));
  } catch (cause) {
    if (cause instanceof HookError) throw cause;
    throw new HookError(
      'hook-pin',
      `hooks cannot be copied to ${into}: ${describeError(cause)}; make room there`,
      {
        cause,
      },
    );
  }
}

async function pinHook(step: HookStep, dir: string, uid: number): Promise<HookStep> {
  const source = await trustedExecutable(step.path, uid);
  const beside = dirname(source);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const copy = join(dir, basename(source));
  const libraries = (await readdir(beside)).filter((each) => each.endsWith('.sh'));
  await Promise.all([
    copyFile(source, copy),
    ...libraries.map(async (name) => copyFile(await trustedPath(join(beside, name), uid), join(dir, name))),
  ]);
  await chmod(copy, 0o700);
  const runs = await access(copy, constants.X_OK).then(
    () => true,
    () => false,
  );
  return runs ? { ...step, path: copy } : step;
}
